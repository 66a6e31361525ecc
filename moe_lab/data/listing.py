"""Which files under class folders are pictures, each once, and which are left out and why."""

from __future__ import annotations

import functools
import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moe_lab.errors import DataError

# Pillow hands EPS to Ghostscript, which runs what is in the file; the others it only recognises.
NOT_READ = ("EPS", "BUFR", "GRIB", "HDF5", "MPEG", "WMF")
NAMED_FILES = 5  # files that a note names; the others are counted
# Reasons to leave something out, as they are read behind a number.
HIDDEN = "hidden"
NO_FILE = "no ordinary file (a FIFO, socket or device)"
NO_PICTURE = "of a kind that is not read"
LEADS_NOWHERE = "a link to nothing"
REPEATED = "a link to what is read elsewhere"
ABOVE = "a link to a folder above"
CLASSLESS = "in no class folder"


@dataclass(frozen=True)
class File:
    """A picture: where it was found, in which class, and what tells that it has changed."""

    path: str
    label: int
    size: int
    modified: int  # in nanoseconds


@dataclass
class Listing:
    """The pictures of one part in the order of their classes and paths, and what is left out."""

    files: list[File] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)  # path and reason


def list_part(part: Path, classes: Sequence[str]) -> Listing:
    """Every picture in the class folders of `part` and below them.

    A folder or file that several links lead to is read once. What lies in a folder itself comes
    before what links bring in, so that a link between classes takes nothing away from either.
    """
    walk = _Walk(part)
    for name in sorted(entry.name for entry in scan(part)):
        if name not in classes:
            walk.leave_out(str(part / name))
    for label, name in enumerate(classes):
        walk.note_folder(str(part / name), label)
    while walk.folders or walk.linked_folders:
        walk.read_folder(*(walk.folders or walk.linked_folders).pop(0))
    for path, label in sorted(walk.linked_files):
        real = os.path.realpath(path)
        walk.add(path, real, label)
    listing = walk.listing
    listing.files.sort(key=lambda file: (file.label, *os.path.split(file.path)))
    return listing


class _Walk:
    """What has been seen of a part, by real path, and what is still to be read."""

    def __init__(self, part: Path) -> None:
        self.part = os.path.realpath(part)
        self.listing = Listing()
        self.seen: set[str] = set()
        self.folders: list[tuple[str, int]] = []
        self.linked_folders: list[tuple[str, int]] = []
        self.linked_files: list[tuple[str, int]] = []

    def note_folder(self, path: str, label: int) -> None:
        (self.linked_folders if os.path.islink(path) else self.folders).append((path, label))

    def read_folder(self, path: str, label: int) -> None:
        real = os.path.realpath(path)
        if real in self.seen:
            self.listing.left_out.append((path, REPEATED))
            return
        if os.path.commonpath([real, self.part]) == real:
            self.listing.left_out.append((path, ABOVE))
            return
        self.seen.add(real)
        for entry in sorted(scan(path), key=lambda entry: entry.name):
            if reason_against(entry.path):
                self.leave_out(entry.path)
            elif entry.is_dir():
                self.note_folder(entry.path, label)
            elif entry.is_symlink():
                self.linked_files.append((entry.path, label))
            else:
                self.add(entry.path, os.path.join(real, entry.name), label)

    def add(self, path: str, real: str, label: int) -> None:
        if real in self.seen:
            self.listing.left_out.append((path, REPEATED))
            return
        self.seen.add(real)
        status = os.stat(path)
        self.listing.files.append(File(path, label, status.st_size, status.st_mtime_ns))

    def leave_out(self, path: str) -> None:
        self.listing.left_out.append((path, reason_against(path) or CLASSLESS))


def scan(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise unreadable(folder, error) from None


def unreadable(path: str | Path, error: OSError) -> DataError:
    return DataError(
        f"{path}: {error.strerror}", "a folder that can be read", "change its permissions"
    )


def reason_against(path: str) -> str | None:
    """Why nothing is read from a path; None for pictures and folders."""
    name = os.path.basename(path)
    if is_hidden(name):
        return HIDDEN
    try:
        mode = os.stat(path).st_mode
    except PermissionError as error:
        raise unreadable(path, error) from None
    except OSError:
        return LEADS_NOWHERE
    if stat.S_ISDIR(mode):
        return None
    if not stat.S_ISREG(mode):
        return NO_FILE
    return None if is_picture(name) else NO_PICTURE


def is_hidden(name: str) -> bool:
    """Files of the system, such as .DS_Store, and what archives of another system bring along."""
    return (
        name.startswith(".") or name == "__MACOSX" or name.lower() in ("thumbs.db", "desktop.ini")
    )


def is_picture(name: str) -> bool:
    """Whether the ending of a file's name belongs to a format that Pillow reads."""
    return suffix_of(name) in picture_endings()


def suffix_of(name: str) -> str:
    return os.path.splitext(name)[1].lower()


@functools.cache
def picture_endings() -> frozenset[str]:
    """The endings of all formats that Pillow decodes by itself."""
    from PIL import Image

    formats = Image.registered_extensions()  # loads all formats, before threads would race for it
    return frozenset(
        suffix for suffix, name in formats.items() if name in Image.OPEN and name not in NOT_READ
    )


def left_out_notes(left_out: Sequence[tuple[str, str]], root: Path) -> list[str]:
    """A sentence for each reason, with the number of files and the names of some."""
    notes = []
    for reason in dict.fromkeys(reason for _, reason in left_out):
        paths = [path for path, its in left_out if its == reason]
        kinds = ""
        if reason == NO_PICTURE:
            counts = Counter(suffix_of(path) or "without an ending" for path in paths)
            kinds = " (" + ", ".join(f"{count} {kind}" for kind, count in counts.items()) + ")"
            kinds += "; convert what is a picture to png or jpg"
        names = ", ".join(shown(path, root) for path in paths[:NAMED_FILES])
        more = f" and {len(paths) - NAMED_FILES:,} more" if len(paths) > NAMED_FILES else ""
        notes.append(f"{len(paths):,} left out, {reason}{kinds}: {names}{more}")
    return notes


def shown(path: str, root: Path) -> str:
    """A path below the root as a screen can show it, whatever bytes are in its name."""
    relative = os.path.relpath(path, root)
    return relative.encode(errors="replace").decode().replace("\n", "?")
