"""Writing to disk: whole after a kill, and patient where the disk is full."""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from moe_lab.errors import UserError
from moe_lab.training.ranks import is_first_process

PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds between tries on a full disk
FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class CannotWrite(UserError):
    """A file could not be written; `code` is the errno of the system."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.code = error.errno
        expected, todo = "free space and write permission", ""
        wrong = f"cannot write {path}: {error.strerror}"
        if error.errno in FULL:
            expected, todo = "free space on its disk", "free some, then go on"
        elif error.errno in READ_ONLY:
            expected, todo = (
                "a folder that may be written to",
                "name another one: run_dir=FOLDER in training, out=FOLDER where a run is read",
            )
        elif not path.parent.is_dir():
            wrong = f"{path.parent} is gone: it was deleted or moved while it was written to"
            expected, todo = "a run directory that stays where it is", "train again"
        super().__init__(wrong, expected, todo)


def write_atomically(
    path: Path, content: str | bytes, before: Callable[[], None] = lambda: None
) -> None:
    """Replace a file in one step, so that neither a reader nor a kill meets half of it; first
    process only.

    The partial file lies beside the target, since only within a file system a rename is one step.
    `before` is called when all of it is on disk and only the rename is left.
    """
    if not is_first_process():
        return
    data = content.encode() if isinstance(content, str) else content
    # A name of its own: processes that share a sweep write its list at the same moment.
    partial = path.with_name(f".{path.name[:200]}.{uuid.uuid4().hex[:12]}.partial")

    def write() -> None:
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            before()
            os.replace(partial, path)
            sync_folder(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    patiently(path, write)


def append(path: Path, text: str) -> None:
    """Add a line to a file, all of it or nothing."""
    data = text.encode()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                written = 0
                while written < len(data):  # a disk that fills up takes a part
                    written += file.write(data[written:])
            except OSError:
                file.truncate(size)
                raise

    patiently(path, write)


def patiently(path: Path, write: Callable[[], None]) -> None:
    """Write; on a full disk again after a pause, a few times. Raises CannotWrite."""
    for pause in (*PAUSES, None):
        try:
            return write()
        except OSError as error:
            if error.errno not in FULL or pause is None:
                raise CannotWrite(path, error) from error
            if pause == PAUSES[0]:
                wait = sum(PAUSES)
                print(f"the disk of {path} is full; trying again for {wait:.0f} s", flush=True)
        time.sleep(pause)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk, where the file system knows how."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def remove_partial_files(folder: Path) -> None:
    """Remove what writers that were killed have left."""
    for path in folder.glob(".*.partial"):
        path.unlink(missing_ok=True)
