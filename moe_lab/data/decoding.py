"""Many picture files as one tensor."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from moe_lab.data.image_file import FULL_RANGE, Picture, read_picture
from moe_lab.data.listing import shown
from moe_lab.errors import DataError

FILES_AT_ONCE = 256
TWELVE_BITS, FOURTEEN_BITS = 2**12 - 1, 2**14 - 1
Item = TypeVar("Item")


@dataclass(frozen=True)
class Decoded:
    """The pixels of all files, and what a person should know of how they came about."""

    images: Tensor  # [B, 1 or 3, height, width] uint8
    notes: tuple[str, ...]


def decode_files(
    paths: Sequence[str], root: Path, image_size: int | None, white: int | None
) -> Decoded:
    """Every picture in one tensor, of one channel if all are grey; DataError names what is not
    understood, and pictures that differ in size.
    """
    pictures = read_all(paths, root, image_size, white)
    for path, picture in zip(paths, pictures, strict=True):
        if picture.pixels.shape[:2] != pictures[0].pixels.shape[:2]:
            raise DataError(
                f"images differ in size: {paths[0]} is {size_of(pictures[0])}, "
                f"{path} is {size_of(picture)}",
                "one size for all images (height x width)",
                "set dataset.image_size, for example dataset.image_size=64",
            )
    notes = [*range_notes(paths, pictures), *said(paths, pictures, root)]
    channels = 1 if all(picture.pixels.ndim == 2 for picture in pictures) else 3
    images = np.empty((len(pictures), channels, *pictures[0].pixels.shape[:2]), np.uint8)
    for row, picture in enumerate(pictures):
        pixels = picture.pixels
        images[row] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return Decoded(torch.from_numpy(images), tuple(notes))


def read_all(
    paths: Sequence[str], root: Path, image_size: int | None, white: int | None
) -> list[Picture]:
    chunks = [paths[start : start + FILES_AT_ONCE] for start in range(0, len(paths), FILES_AT_ONCE)]
    pictures: list[Picture] = []
    # Before the threads: a filter holds for all of them. Too large a picture is refused by name.
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.filterwarnings("ignore", module="PIL")
        read = functools.partial(read_picture, image_size=image_size, white=white)
        read = functools.partial(read_picture, image_size=image_size, white=white)
        decoded = pool.map(lambda chunk: [read(path) for path in chunk], chunks)
        try:
            title = f"reading {len(paths):,} images of {root}"
            for chunk in with_progress(decoded, len(chunks), title):
                pictures.extend(chunk)
        except DataError:
            pool.shutdown(cancel_futures=True)
            raise
    return pictures


def range_notes(paths: Sequence[str], pictures: Sequence[Picture]) -> list[str]:
    """Whether 16 bits are used as such; DataError where all samples would fit into 12.

    A format says that 65535 is white, but cameras and scanners store their 12 bits as they are:
    such pictures would become 16 shades of black.
    """
    peaks = {path: p.peak for path, p in zip(paths, pictures, strict=True) if p.peak is not None}
    if not peaks:
        return []
    brightest = max(peaks, key=lambda path: peaks[path] or 0)
    peak = peaks[brightest] or 0
    if peak <= TWELVE_BITS:
        raise DataError(
            f"{brightest}: of its 16 bits, as of those of all other pictures, at most 12 are used; "
            "whether they are of 12 bits or almost black cannot be seen",
            f"16-bit pictures with samples up to {FULL_RANGE}",
            f"set dataset.white to the sample that is white: {TWELVE_BITS} for 12 bits, "
            f"{FULL_RANGE} if they are dark (16-bit colours: save them in 8 bits)",
        )
    if peak <= FOURTEEN_BITS:
        return [
            f"no sample of the {len(peaks):,} 16-bit pictures is above {peak:,} of {FULL_RANGE:,}; "
            f"if they are of 14 bits, set dataset.white={FOURTEEN_BITS}"
        ]
    return []


def said(paths: Sequence[str], pictures: Sequence[Picture], root: Path) -> list[str]:
    """What was done to some pictures."""
    kinds = {
        "partly transparent: put on white": [p.is_transparent for p in pictures],
        "of several frames or pages: the first was read": [p.has_frames for p in pictures],
    }
    return [
        f"{sum(marks):,} of {len(pictures):,} pictures are {what}, "
        f"such as {shown(paths[marks.index(True)], root)}"
        for what, marks in kinds.items()
        if any(marks)
    ]


def size_of(picture: Picture) -> str:
    return " x ".join(str(length) for length in picture.pixels.shape[:2])


def with_progress(steps: Iterable[Item], total: int, title: str) -> Iterator[Item]:
    """A progress bar on a terminal, one plain line otherwise, both on stderr."""
    if not sys.stderr.isatty():
        print(f"{title} (once, then cached)", file=sys.stderr)
        yield from steps
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(steps, title, total, console=Console(stderr=True), transient=True)
