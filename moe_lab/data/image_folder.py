"""A folder of pictures, `train|val|test/<class>/*`, decoded once and kept as one tensor file."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import torch

from moe_lab.data.cache import read_cache, write_cache
from moe_lab.data.decoding import decode_files
from moe_lab.data.duplicates import shared_between
from moe_lab.data.layout import class_folders, part_folders
from moe_lab.data.listing import File, is_hidden, is_picture, left_out_notes, list_part, scan, shown
from moe_lab.data.sources import ImageSets, Source
from moe_lab.errors import DataError

CACHE_FORMAT = 2  # raised whenever the same files give other pixels
BESIDE = "beside the folders that are read"


class ImageFolderSource(Source):
    """Pictures under `root/train/<class>` and `root/test/<class>`, and under `root/val/<class>` if
    that is there.

    `image_size` scales the shorter side to it and crops the centre; without it all pictures must
    have one size. One channel if every picture is grey, else RGB. `image_file.convert` tells what
    pixels become, and what `white` is. The decoded tensors are cached under `root`, or in the
    user's cache folder where `root` is read-only.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        image_size: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        white: int | None = None,
    ) -> None:
        for name, value in (("image_size", image_size), ("white", white)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be >= 1 or null, got {value}")
        self.root, self.image_size, self.white = Path(root).expanduser(), image_size, white
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else None

    def load(self) -> ImageSets:
        folders = part_folders(self.root)
        names = class_folders(folders)
        listings = {part: list_part(folder, names) for part, folder in folders.items()}
        left_out = [pair for listing in listings.values() for pair in listing.left_out]
        files = {part: listing.files for part, listing in listings.items()}
        for part, found in files.items():
            self._check_classes(folders[part], names, found, left_out)
        cache = self._cache_folder() / f"{self._key(files)}.pt"
        sets = read_cache(cache)
        if sets is None:
            sets = self._decode(files, names)
            write_cache(cache, sets)
        notes = left_out_notes([*left_out, *self._beside(folders)], self.root)
        if "val" in folders:
            count = f"{len(files['val']):,} pictures of {folders['val'].name}/"
            notes.append(f"validation on the {count}; none of train/ are held out")
        size = f", resized to {self.image_size}" if self.image_size else ""
        total = sum(len(found) for found in files.values())
        name = self.root.resolve().name
        copy = f"{total:,} image files of {name}{size}"
        return replace(sets, name=name, copy=copy, notes=(*notes, *sets.notes))

    def _check_classes(
        self,
        folder: Path,
        names: tuple[str, ...],
        found: list[File],
        left_out: list[tuple[str, str]],
    ) -> None:
        empty = set(range(len(names))) - {file.label for file in found}
        if empty:
            lacking = folder / names[min(empty)]
            here = [pair for pair in left_out if Path(pair[0]).is_relative_to(lacking)]
            why = "".join(f"; {note}" for note in left_out_notes(here, self.root))
            raise DataError(
                f"{lacking} holds no pictures that are read{why}",
                "at least one picture in each class folder",
                "add pictures or remove the class",
            )

    def _key(self, files: dict[str, list[File]]) -> str:
        """A sum over everything that the pixels depend on, paths, sizes and times of files."""
        digest = hashlib.sha256(f"{CACHE_FORMAT} {self.image_size} {self.white}".encode())
        for found in files.values():
            for file in found:
                path = os.path.relpath(file.path, self.root)
                entry = f"{path}\0{file.size}\0{file.modified}\n"
                digest.update(entry.encode(errors="surrogateescape"))
        return digest.hexdigest()[:32]

    def _cache_folder(self) -> Path:
        if self.cache_dir is not None:
            return self.cache_dir
        if os.access(self.root, os.W_OK):
            return self.root / ".moe_lab_cache"
        return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "moe_lab"

    def _decode(self, files: dict[str, list[File]], names: tuple[str, ...]) -> ImageSets:
        paths = {part: [file.path for file in found] for part, found in files.items()}
        decoded = decode_files(
            [path for found in paths.values() for path in found],
            self.root,
            self.image_size,
            self.white,
        )
        sizes = [len(found) for found in files.values()]
        images = dict(zip(files, decoded.images.split(sizes), strict=True))
        labels = {
            part: torch.tensor([file.label for file in found], dtype=torch.int64)
            for part, found in files.items()
        }
        relative = {part: [shown(p, self.root) for p in found] for part, found in paths.items()}
        notes = (*decoded.notes, *shared_between(images, labels, relative))
        tensors = {f"{part}_images": images[part] for part in files}
        tensors |= {f"{part}_labels": labels[part] for part in files}
        return ImageSets(**tensors, class_names=names, name="", copy="", notes=notes)

    def _beside(self, folders: dict[str, Path]) -> list[tuple[str, str]]:
        """Folders and pictures in the root that belong to no part."""
        read = {folder.name for folder in folders.values()}
        return [
            (entry.path, BESIDE)
            for entry in sorted(scan(self.root), key=lambda entry: entry.name)
            if entry.name not in read
            and not is_hidden(entry.name)
            and (entry.is_dir() or is_picture(entry.name))
        ]
