"""checksums.json: the SHA-256 of every file that a run has written and that is read again.

A flipped bit in weights or in a number loads without a word; the sum beside it does not.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from moe_lab.errors import RecordError
from moe_lab.training.disk import write_atomically

NAME = "checksums.json"
PREVIOUS = ".previous"  # last.previous.ckpt was last.ckpt a checkpoint ago
# A file and its sum cannot change in one step: the new one is listed before the file is replaced,
# and the ones before it stay, which a kill or a fallback may leave in place.
RECENT = 3
READER_TRIES, READER_PAUSE = 3, 0.2  # a running run may replace a file while it is being read


class Damaged(RecordError):
    """A file is not what the run has written."""

    def __init__(self, path: Path, todo: str = "") -> None:
        self.path = path
        super().__init__(
            f"{path} is damaged or was changed: it does not match its checksum",
            "the files of a run directory as training left them",
            todo or "take them from a copy, or train again in another run_dir",
        )


class Checksums:
    """The sums of the files in one run directory, by path inside it, the newest first."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / NAME

    def expect(self, path: Path, digest: str) -> None:
        """List the sum of what is about to replace a file."""
        known = self.read()
        name = self.name_of(path)
        older = [other for other in known.get(name, []) if other != digest]
        self.write({**known, name: [digest, *older][:RECENT]})

    def forget(self, paths: Iterable[Path]) -> None:
        """Take files that are about to change from the list."""
        names = {self.name_of(path) for path in paths}
        known = self.read()
        if names & set(known):
            self.write({name: sums for name, sums in known.items() if name not in names})

    def seal(self, paths: Iterable[Path]) -> None:
        """List files that have grown until now and grow no more."""
        self.write(self.read() | {self.name_of(p): [digest_of(p)] for p in paths if p.is_file()})

    def current(self, path: Path) -> str | None:
        """The newest sum that is listed for a file."""
        return next(iter(self.read().get(self.name_of(path), [])), None)

    def verify(self, path: Path) -> None:
        """Raise Damaged where a file that is there is not one that was written; a run of a time
        before there were sums is said to be unverified, once.
        """
        if not path.is_file():
            return
        if not self.path.is_file():
            return say_unverified(str(self.folder))
        for attempt in range(READER_TRIES):
            sums = self.read().get(self.name_of(path))
            if sums is None or not path.is_file() or digest_of(path) in sums:
                return
            if attempt + 1 < READER_TRIES:
                time.sleep(READER_PAUSE)
        raise Damaged(path)

    def read(self) -> dict[str, list[str]]:
        """The list; empty without one."""
        if not self.path.is_file():
            return {}
        try:
            content = json.loads(self.path.read_bytes())
            files, own = content["files"], content["of_this_list"]
        except (ValueError, KeyError, TypeError):
            raise Damaged(self.path, TRUST) from None
        if own != digest_of_list(files):
            raise Damaged(self.path, TRUST)
        return {str(name): list(sums) for name, sums in files.items()}

    def write(self, files: dict[str, list[str]]) -> None:
        content = {"algorithm": "sha256", "of_this_list": digest_of_list(files), "files": files}
        write_atomically(self.path, json.dumps(content, indent=1) + "\n")

    def name_of(self, path: Path) -> str:
        name = path.name.replace(PREVIOUS, "")
        return path.with_name(name).relative_to(self.folder).as_posix()


TRUST = f"take {NAME} from a copy, or delete it to use the other files without verification"


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_list(files: object) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


@functools.cache
def say_unverified(folder: str) -> None:
    """Say it once for each folder."""
    print(f"{folder} has no {NAME}: its files are used as they are", file=sys.stderr, flush=True)
