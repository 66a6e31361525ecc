"""A folder of pictures, `train|test/<class>/*`, decoded once and kept as one tensor file."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from moe_lab.data.sources import ImageSets, Source, fingerprint
from moe_lab.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
CACHE_FORMAT = 1
CHUNK = 256
Item = TypeVar("Item")
TENSORS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Listing:
    """The pictures of both parts with their class indices, and a key over path, size, mtime."""

    class_names: tuple[str, ...]
    parts: dict[str, list[tuple[str, int]]]  # "train" and "test" -> (path, class index)
    key: str


class ImageFolderSource(Source):
    """Pictures under `root/train/<class>` and `root/test/<class>`.

    `image_size` scales the shorter side to it and crops the centre; without it all pictures must
    have one size. One channel if every picture is grey, else RGB. The decoded tensors are cached
    under `root`, or in the user's cache folder where `root` is read-only.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        image_size: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        if image_size is not None and image_size < 1:
            raise ValueError(f"image_size must be >= 1 or null, got {image_size}")
        self.root, self.image_size = Path(root).expanduser(), image_size
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else None

    def load(self) -> ImageSets:
        listing = list_images(self.root, self.image_size)
        cache = self._cache_folder() / f"{listing.key}.pt"
        sets = read_cache(cache)
        if sets is None:
            sets = self._decode(listing)
            write_cache(cache, sets)
        size = f", resized to {self.image_size}" if self.image_size else ""
        count = len(sets.train_labels) + len(sets.test_labels)
        copy = f"{count:,} image files of {Path(self.root).resolve().name}{size}"
        return replace(sets, name=self.root.resolve().name, copy=copy)

    def _cache_folder(self) -> Path:
        if self.cache_dir is not None:
            return self.cache_dir
        if os.access(self.root, os.W_OK):
            return self.root / ".moe_lab_cache"
        return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "moe_lab"

    def _decode(self, listing: Listing) -> ImageSets:
        rows = [row for part in ("train", "test") for row in listing.parts[part]]
        images = stack([path for path, _ in rows], self.root, self.image_size)
        labels = torch.tensor([label for _, label in rows], dtype=torch.int64)
        cut = len(listing.parts["train"])
        return ImageSets(
            images[:cut], labels[:cut], images[cut:], labels[cut:], listing.class_names, "", ""
        )


def list_images(root: Path, image_size: int | None) -> Listing:
    """Checks the layout; raises `DataError` that names what is missing."""
    from torchvision.datasets import ImageFolder

    layout = "train/<class>/* and test/<class>/* with png, jpg, jpeg, bmp or webp files"
    names: dict[str, list[str]] = {}
    for part in ("train", "test"):
        folder = root / part
        if not folder.is_dir():
            raise DataError(
                f"{folder if root.is_dir() else root} is not a folder", layout, "set dataset.root"
            )
        names[part] = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        if not names[part]:
            raise DataError(f"{folder} has no class folders", layout, "sort pictures by class")
    for part, other in (("test", "train"), ("train", "test")):
        alone = sorted(set(names[part]) - set(names[other]))
        if alone:
            raise DataError(
                f"{root / part / alone[0]} has no counterpart in {root / other}",
                "the same class folders in train and test",
                f"add pictures to {root / other / alone[0]} or remove the class",
            )
    parts, digest = {}, hashlib.sha256(f"{CACHE_FORMAT} {image_size}".encode())
    for part in ("train", "test"):
        listed = ImageFolder(str(root / part), is_valid_file=is_picture, allow_empty=True)
        parts[part] = listed.samples
        empty = set(range(len(names[part]))) - set(listed.targets)
        if empty:
            folder = root / part / names[part][min(empty)]
            raise DataError(f"{folder} holds no pictures", layout, "add pictures or remove it")
        for path, _ in listed.samples:
            status = os.stat(path)
            entry = f"{os.path.relpath(path, root)}\0{status.st_size}\0{status.st_mtime_ns}\n"
            digest.update(entry.encode(errors="surrogateescape"))
    return Listing(tuple(names["train"]), parts, digest.hexdigest()[:32])


def is_picture(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def stack(paths: list[str], root: Path, image_size: int | None) -> Tensor:
    """Every picture in one tensor, [B, 1 or 3, height, width] uint8."""
    from PIL import Image

    Image.init()  # registers the formats here, before threads would race for it
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    pictures: list[NDArray[np.uint8]] = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        decoded = pool.map(lambda chunk: [decode(path, image_size) for path in chunk], chunks)
        try:
            for chunk in shown(decoded, len(chunks), f"reading {len(paths):,} images of {root}"):
                pictures.extend(chunk)
        except DataError:
            pool.shutdown(cancel_futures=True)
            raise
    for path, picture in zip(paths, pictures, strict=True):
        if picture.shape[:2] != pictures[0].shape[:2]:
            raise DataError(
                f"images differ in size: {paths[0]} is {size_of(pictures[0])}, "
                f"{path} is {size_of(picture)}",
                "one size for all images (height x width)",
                "set dataset.image_size, for example dataset.image_size=64",
            )
    channels = 1 if all(picture.ndim == 2 for picture in pictures) else 3
    images = np.empty((len(pictures), channels, *pictures[0].shape[:2]), np.uint8)
    for row, picture in enumerate(pictures):
        images[row] = picture if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return torch.from_numpy(images)


def size_of(picture: NDArray[np.uint8]) -> str:
    return f"{picture.shape[0]} x {picture.shape[1]}"


def decode(path: str, image_size: int | None) -> NDArray[np.uint8]:
    """One picture, [height, width] if grey, else [height, width, 3]."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            picture = opened.convert("L" if opened.mode in ("L", "1") else "RGB")
    except Exception as error:  # PIL has no one class of error for a corrupt file
        raise DataError(
            f"{path}: {error}", "a whole png, jpg, bmp or webp picture", "replace or delete it"
        ) from error
    if image_size is not None:
        picture = ImageOps.fit(picture, (image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def shown(steps: Iterable[Item], total: int, title: str) -> Iterator[Item]:
    """A progress bar on a terminal, one plain line otherwise, both on stderr."""
    if not sys.stderr.isatty():
        print(f"{title} (once, then cached)", file=sys.stderr)
        yield from steps
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(steps, title, total, console=Console(stderr=True), transient=True)


def read_cache(path: Path) -> ImageSets | None:
    """The cached images, nameless; None where the file is absent or not what was written."""
    if not path.is_file():
        return None
    try:
        state = torch.load(path, weights_only=True)
        tensors = {name: state[name] for name in TENSORS}
        sets = ImageSets(**tensors, class_names=tuple(state["class_names"]), name="", copy="")
        if fingerprint(sets) == state["fingerprint"]:
            return sets
        reason = "its content does not match its fingerprint"
    except Exception as error:  # a damaged file fails in any part of the unpickling
        reason = type(error).__name__
    print(f"rebuilding the damaged image cache {path} ({reason})", file=sys.stderr)
    return None


def write_cache(path: Path, sets: ImageSets) -> None:
    state: dict[str, object] = {name: getattr(sets, name).clone() for name in TENSORS}
    state |= {"class_names": list(sets.class_names), "fingerprint": fingerprint(sets)}
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        # The images are in memory: a full disk only costs the next start its time.
        print(f"image cache {path} not written: {error}", file=sys.stderr)
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
