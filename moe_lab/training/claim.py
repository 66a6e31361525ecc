"""Who is at work in a folder: one process at a time, on this machine and on others.

The system's lock (flock) ends with its process, but some file systems have none, and some keep
theirs from other machines. So the holder also writes down who it is and gives a sign of life, the
time of that file, every few seconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from moe_lab.errors import ConfigError, UserError
from moe_lab.training.ranks import is_first_process

LOCKS = ".locks"  # beside a run directory
INNER_LOCK = ".lock"  # in it, where nothing can be written beside it
BEAT = 10.0  # seconds between two signs of life
LONGEST = 150  # characters of a folder's name in that of its lock
SILENCE = 90.0  # seconds without one, after which a holder counts as gone


@dataclass(frozen=True)
class Holder:
    """The process that is at work in a folder."""

    host: str
    pid: int
    since: str
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Hold a folder while a job runs in it; False where another process holds it already.

    Of several processes of one run the first holds it for all. UserError where nothing can be
    written beside or in the folder.
    """
    if not is_first_process():
        yield True
        return
    path = lock_of(folder)
    with opened(path) as file:
        try:
            has_flock = try_flock(file, fcntl.LOCK_EX)
        except BlockingIOError:
            yield False
            return
        record = record_of(path)
        token = take(record, has_flock)
        if token is None:
            yield False
            return
        ended = threading.Event()
        beating = threading.Thread(target=beat, args=(record, token, ended), daemon=True)
        beating.start()
        try:
            yield True
        finally:
            ended.set()
            beating.join()
            record.unlink(missing_ok=True)
            path.unlink(missing_ok=True)  # `opened` sees that a file it waited for is gone


@contextmanager
def only_here(folder: Path) -> Iterator[None]:
    """`claim` for one run: ConfigError that names the other process."""
    with claim(folder) as is_mine:
        if not is_mine:
            raise held(folder)
        yield


def held(folder: Path) -> ConfigError:
    """What is said to a process that comes second."""
    holder = read_holder(record_of(lock_of(folder)))
    who = f"{holder}" if holder else "a process that has not said which"
    return ConfigError(
        f"another process is at work in {folder}: {who}",
        "one process for each run directory",
        "wait for it or end it, or choose another run_dir",
    )


def is_locked(folder: Path) -> bool:
    """Whether a process holds the job in this folder."""
    path = lock_of(folder)
    if not path.is_file():
        return False
    with path.open("r") as file:
        try:
            has_flock = try_flock(file, fcntl.LOCK_SH)
        except BlockingIOError:
            return True
    return is_alive(record_of(path), has_flock)


def lock_of(folder: Path) -> Path:
    """Beside the run directories, so that none of them holds anything but its run; inside where a
    folder of its own may be written to but not the one around it.
    """
    folder = folder.resolve()
    outside = folder.parent / LOCKS
    around = next(p for p in (outside, *outside.parents) if p.exists())
    if folder.is_dir() and not os.access(around, os.W_OK):
        return folder / INNER_LOCK
    name = folder.name
    if len(name) > LONGEST:
        name = f"{name[:LONGEST]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return outside / name


def record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """The lock file, made if it is not there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}",
            "a folder in which runs can be locked, so that two never write the same files",
            "choose another run_dir",
        ) from None
    with file:
        yield file


def try_flock(file: IO[str], operation: int) -> bool:
    """Whether the file system has locks; BlockingIOError where another process holds this one."""
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # no locks here: the record of the holder must do
        return False
    if not is_same_file(file):  # its holder has just ended and removed it
        raise BlockingIOError
    return True


def is_same_file(file: IO[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except FileNotFoundError:
        return False


def take(record: Path, has_flock: bool) -> str | None:
    """Write down this process as the holder; None where another one is alive."""
    me = Holder(
        platform.node(), os.getpid(), f"{datetime.now():%Y-%m-%d %H:%M:%S}", uuid.uuid4().hex
    )
    for _ in range(3):
        try:
            with record.open("x") as file:
                json.dump(asdict(me), file)
            return me.token
        except FileExistsError:
            if is_alive(record, has_flock):
                return None
            other = read_holder(record)
            aside = record.with_name(f"{record.name}.{me.token}")
            try:
                os.rename(record, aside)  # of several that come at once one succeeds
            except FileNotFoundError:
                continue
            aside.unlink()
            who = f"{other}" if other else "a process"
            print(f"taking over from {who}: it has ended without a word", flush=True)
    return None


def is_alive(record: Path, has_flock: bool) -> bool:
    """Whether the holder on record is still at work; `has_flock` says that this machine's lock was
    free.
    """
    if not record.is_file():
        return False
    holder = read_holder(record)
    is_here = holder is not None and holder.host == platform.node()
    if holder is not None and is_here and (has_flock or not process_exists(holder.pid)):
        return False
    return silence_of(record) < SILENCE


def read_holder(record: Path) -> Holder | None:
    """Who holds a folder; None where nobody does, or is about to say so."""
    try:
        return Holder(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def silence_of(record: Path) -> float:
    """Seconds since the last sign of life, by the clock of the file system: those of two machines
    may differ.
    """
    probe = record.with_name(f"{record.name}.{uuid.uuid4().hex[:8]}.now")
    try:
        probe.touch()
        now = probe.stat().st_mtime
        return now - record.stat().st_mtime
    except OSError:
        return datetime.now().timestamp() - record.stat().st_mtime if record.is_file() else SILENCE
    finally:
        probe.unlink(missing_ok=True)


def beat(record: Path, token: str, ended: threading.Event) -> None:
    """Give signs of life; a process whose place was taken, such as after a long sleep of its
    machine, ends at once, so that it writes nothing more.
    """
    while not ended.wait(BEAT):
        holder = read_holder(record)
        if holder is not None and holder.token != token:
            print(f"{record}: taken over by {holder}; this process ends", file=sys.stderr)
            os._exit(1)
        try:
            os.utime(record)
        except OSError:
            continue
