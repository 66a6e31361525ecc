"""MNIST and FashionMNIST in torchvision's layout, every file checked before it is used."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import zlib
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from moe_lab.data.download import downloading
from moe_lab.data.sources import ImageSets, Source
from moe_lab.errors import DataError, DataUnavailable

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# Of the unpacked files, in the order of FILES.
SHA256 = {
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion_mnist": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
TITLES = {
    (variant, digest): f"{FOLDERS[variant]}'s {name}"
    for variant, digests in SHA256.items()
    for name, digest in zip(FILES, digests, strict=True)
}
NUM_CLASSES = 10
LONGEST_HEADER = 16  # bytes: of three dimensions
LARGEST_OFFICIAL = 16 + 60_000 * 28 * 28  # bytes
LARGEST = 2**30


class MNISTSource(Source):
    """MNIST or FashionMNIST from `root/MNIST/raw` or `root/FashionMNIST/raw`, fetched if absent.

    Files may be plain or gzipped; gzipped ones are unpacked in memory, so that `root` can be
    read-only and no half-unpacked file can be left behind.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        download: bool = True,
        verify: bool = True,
        variant: str = "mnist",
    ) -> None:
        if variant not in FOLDERS:
            raise ValueError(f"variant must be one of {', '.join(FOLDERS)}, got {variant!r}")
        self.root, self.variant = Path(root).expanduser(), variant
        self.download, self.verify = download, verify
        self.raw = self.root / FOLDERS[variant] / "raw"

    def load(self) -> ImageSets:
        missing = [name for name in FILES if stored(self.raw, name) is None]
        if missing:
            self._fetch(missing)
        parts = [self._pair(FILES[0], FILES[1]), self._pair(FILES[2], FILES[3])]
        (train_images, train_labels), (test_images, test_labels) = parts
        title = FOLDERS[self.variant]
        how = "the official files, sha256 verified" if self.verify else f"{self.raw}, unverified"
        return ImageSets(
            train_images,
            train_labels,
            test_images,
            test_labels,
            self._class_names(),
            self.variant,
            f"{title}: {how}",
        )

    def _class_names(self) -> tuple[str, ...]:
        if self.variant == "mnist":
            return tuple(str(digit) for digit in range(NUM_CLASSES))
        from torchvision.datasets import FashionMNIST

        return tuple(FashionMNIST.classes)

    def _pair(self, images_name: str, labels_name: str) -> tuple[Tensor, Tensor]:
        """Images [B, 1, height, width] uint8 and labels [B] int64 of one part."""
        images_path, images = self._read(images_name, 3)
        labels_path, labels = self._read(labels_name, 1)
        if len(images) != len(labels):
            fail(labels_path, f"{len(labels)} labels", f"{len(images)}, as in {images_path.name}")
        if int(labels.max()) >= NUM_CLASSES:
            row = int((labels >= NUM_CLASSES).nonzero()[0])
            fail(labels_path, f"label {int(labels[row])} at row {row}", "labels 0 to 9")
        return images[:, None], labels.long()

    def _read(self, name: str, dimensions: int) -> tuple[Path, Tensor]:
        path = stored(self.raw, name)
        assert path is not None
        content = read_bytes(path)
        values = parse_idx(path, content, dimensions)
        if self.verify:
            self._check_digest(path, name, content)
        return path, values

    def _check_digest(self, path: Path, name: str, content: bytes) -> None:
        found = hashlib.sha256(content).hexdigest()
        expected = SHA256[self.variant][FILES.index(name)]
        if found == expected:
            return
        titles = [title for (_, digest), title in TITLES.items() if digest == found]
        what = f"it is {titles[0]}" if titles else f"sha256 {found[:16]}..."
        fail(path, what, f"the official {name}, sha256 {expected[:16]}...")

    def _fetch(self, missing: list[str]) -> None:
        from torchvision import datasets

        dataset = getattr(datasets, FOLDERS[self.variant])
        todo = (
            f"put {', '.join(missing)} (plain or .gz) into {self.raw}, or set dataset.root or the "
            "environment variable MOE_LAB_DATA to the folder that holds "
            f"{FOLDERS[self.variant]}/raw, or use dataset=mnist_5k, which needs no network"
        )
        if not self.download:
            raise DataUnavailable(
                f"{FOLDERS[self.variant]}: {self.raw} lacks {', '.join(missing)}",
                "the four idx files; dataset.download is off",
                f"set dataset.download=true, or {todo}",
            )
        first = dataset.resources[0][0]
        addresses = [mirror + first for mirror in dataset.mirrors]
        with downloading(FOLDERS[self.variant], self.root, addresses, todo) as (folder, address):
            # torchvision tries its mirrors in order, so a dead first one would stall it: leave
            # only the one that answered. The class name decides the folder.
            mirrors = {"mirrors": [address.removesuffix(first)]}
            fetched = type(dataset.__name__, (dataset,), mirrors)(str(folder), download=True)
            self.raw.mkdir(parents=True, exist_ok=True)
            for name in missing:
                os.replace(Path(fetched.raw_folder) / name, self.raw / name)


def stored(folder: Path, name: str) -> Path | None:
    """The plain file, else the gzipped one, else None."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return unpack(path, content) if path.suffix == ".gz" else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        fail(path, f"{beginning(content)} ({error})", "a whole gzip file")
    except OSError as error:
        fail(path, f"it cannot be read ({error})", "a readable file")


def unpack(path: Path, content: bytes) -> bytes:
    """A gzipped file, of which no more is unpacked than its header tells: a few kilobytes can be
    made to fill any memory.
    """
    with gzip.open(io.BytesIO(content)) as file:
        start = file.read(LONGEST_HEADER)
        limit = min(told_length(start), LARGEST)
        unpacked = start + file.read(max(0, limit + 1 - len(start)))
    if len(unpacked) > limit:
        fail(path, f"it unpacks to more than {limit:,} bytes", "the size that its header tells")
    return unpacked


def told_length(start: bytes) -> int:
    """The bytes of a whole idx file by its header; of the largest official one where it is none."""
    dimensions = int.from_bytes(start[:4], "big") - 0x0800
    if dimensions not in (1, 3) or len(start) < 4 + 4 * dimensions:
        return LARGEST_OFFICIAL
    places = range(4, 4 + 4 * dimensions, 4)
    sizes = [int.from_bytes(start[place : place + 4], "big") for place in places]
    return 4 + 4 * dimensions + math.prod(sizes)


def parse_idx(path: Path, content: bytes, dimensions: int) -> Tensor:
    """The idx format: magic number, sizes as big-endian uint32, then one byte per value."""
    magic, header = 0x0800 + dimensions, 4 + 4 * dimensions
    found = int.from_bytes(content[:4], "big")
    if found != magic or len(content) < header:
        fail(path, beginning(content), f"an idx file with magic number {magic}")
    sizes = [int.from_bytes(content[4 * i : 4 * i + 4], "big") for i in range(1, dimensions + 1)]
    if math.prod(sizes) == 0:
        fail(path, f"its header gives the size {sizes}, without any value", "at least one image")
    length = header + math.prod(sizes)
    if len(content) != length:
        fail(path, f"{len(content):,} bytes", f"{length:,} bytes for the {sizes} in its header")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header).view(sizes)


def beginning(content: bytes) -> str:
    """What a wrong file seems to be, from its first bytes."""
    if content[:256].lstrip().startswith(b"<"):
        return "it is a web page, not data"
    magic = int.from_bytes(content[:4], "big")
    kinds = {0x0801: "it holds labels", 0x0803: "it holds images"}
    number = f"magic number {magic}" if len(content) >= 4 else "too short for a header"
    return f"{len(content):,} bytes, {kinds.get(magic, 'not the right kind')}: {number}"


def fail(path: Path, found: str, expected: str) -> NoReturn:
    raise DataError(
        f"{path}: {found}",
        expected,
        "delete it and let it download again (dataset.download=true); for files changed on "
        "purpose, dataset.verify=false skips the checksum",
    )
