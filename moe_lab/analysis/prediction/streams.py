"""Images of files or data sets, a batch at a time, so that memory does not grow with their
number.
"""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from moe_lab.analysis.prediction.fitting import Changes, Fitting
from moe_lab.data.image_file import read_plain
from moe_lab.data.listing import left_out_notes, reason_against
from moe_lab.errors import DataError, UserError

FILES_A_TASK = 32  # what one thread reads before it hands over


@dataclass
class ImageBatch:
    """Images that go through the model together, and what could not be read among them."""

    names: list[str]  # of the B images
    images: Tensor  # [B, channels, height, width] uint8
    labels: list[str] | None = None  # names of the true classes, where they are known
    skipped: list[tuple[str, str]] = field(default_factory=list)  # name and reason
    changes: Changes = field(default_factory=Changes)


@dataclass(frozen=True)
class ImageStream:
    """Batches, how many images there are in all, and what was left out from the start."""

    batches: Iterable[ImageBatch]
    total: int
    notes: tuple[str, ...] = ()


def stream_files(
    words: Sequence[str], fitting: Fitting, white: int | None, batch_size: int
) -> ImageStream:
    """Files, and the pictures in folders and below them, sorted by path within each folder."""
    paths: list[str] = []
    left_out: list[tuple[str, str]] = []
    for word in words:
        place = Path(word).expanduser()
        if place.is_dir():
            walk(place, paths, left_out)
        else:
            paths.append(str(place))
    notes = left_out_notes(left_out, Path.cwd())
    return ImageStream(read_files(paths, fitting, white, batch_size), len(paths), tuple(notes))


def walk(folder: Path, paths: list[str], left_out: list[tuple[str, str]]) -> None:
    """Every picture in a folder and below; links to folders are not followed, lest they lead up."""

    def refuse(error: OSError) -> None:
        left_out.append((str(error.filename), f"not to be read: {error.strerror}"))

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not reason_against(f"{place}/{name}"))
        for name in sorted(files):
            path = os.path.join(place, name)
            try:
                reason = reason_against(path)
            except UserError as error:
                reason = str(error)
            if reason:
                left_out.append((path, reason))
            else:
                paths.append(path)


def read_files(
    paths: Sequence[str], fitting: Fitting, white: int | None, batch_size: int
) -> Iterator[ImageBatch]:
    """Files read by a few threads, which are never more than a batch ahead."""
    size = min(FILES_A_TASK, batch_size)
    tasks = (paths[start : start + size] for start in range(0, len(paths), size))
    threads = min(8, os.cpu_count() or 1)
    most = max(threads + 1, -(-batch_size // size))
    waiting: deque[Future[ImageBatch]] = deque()
    # Before the threads: a filter holds for all of them. Too large a picture is refused by name.
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.filterwarnings("ignore", module="PIL")
        parts: list[ImageBatch] = []
        try:
            for task in tasks:
                waiting.append(pool.submit(read_some, task, fitting, white))
                if len(waiting) > most:
                    parts.append(waiting.popleft().result())
                if sum(len(part.names) for part in parts) + size > batch_size:
                    yield joined(parts)
                    parts = []
            parts.extend(future.result() for future in waiting)
            if parts:
                yield from in_batches(parts, batch_size)
        finally:
            pool.shutdown(cancel_futures=True)


def read_some(paths: Sequence[str], fitting: Fitting, white: int | None) -> ImageBatch:
    """One task of a thread."""
    changes, skipped = Changes(), []
    names: list[str] = []
    images: list[NDArray[np.uint8]] = []
    for path in paths:
        try:
            picture = read_plain(path, white)
        except FileNotFoundError:
            skipped.append((shown(path), "there is no such file"))
        except (DataError, OSError) as error:
            skipped.append((shown(path), reason_of(error, path)))
        else:
            images.append(fitting.picture(shown(path), picture, changes))
            names.append(shown(path))
    shape = (0, fitting.channels, fitting.height, fitting.width)
    stacked = np.stack(images) if images else np.empty(shape, np.uint8)
    return ImageBatch(names, torch.from_numpy(stacked), None, skipped, changes)


def reason_of(error: Exception, path: str) -> str:
    """Why a file cannot be read, without its name, on one line."""
    said = error.wrong if isinstance(error, UserError) else str(error)
    if isinstance(error.__cause__, FileNotFoundError):
        return "there is no such file"
    return " ".join(said.removeprefix(f"{path}: ").replace(repr(path), "it").split())


def shown(path: str) -> str:
    """A path that can be printed and encoded, whatever bytes are in it."""
    return path.encode(errors="replace").decode().replace("\n", "?")


def in_batches(parts: Sequence[ImageBatch], batch_size: int) -> Iterator[ImageBatch]:
    """What is left at the end, in batches of at most a batch."""
    own: list[ImageBatch] = []
    for part in parts:
        if own and sum(len(one.names) for one in own) + len(part.names) > batch_size:
            yield joined(own)
            own = []
        own.append(part)
    yield joined(own)


def joined(parts: Sequence[ImageBatch]) -> ImageBatch:
    """Several batches as one."""
    changes = Changes()
    for part in parts:
        changes.add(part.changes)
    return ImageBatch(
        [name for part in parts for name in part.names],
        torch.cat([part.images for part in parts]),
        None,
        [pair for part in parts for pair in part.skipped],
        changes,
    )


def stream_tensor(
    images: Tensor, labels: Sequence[str], name: str, fitting: Fitting, batch_size: int
) -> ImageStream:
    """The images of a data set [N, channels, h, w] uint8, called NAME/0, NAME/1, ..."""

    def batches() -> Iterator[ImageBatch]:
        for start in range(0, len(images), batch_size):
            rows = images[start : start + batch_size].cpu()
            names = [f"{name}/{start + row}" for row in range(len(rows))]
            changes = Changes()
            if tuple(rows.shape[1:]) != (fitting.channels, fitting.height, fitting.width):
                rows = torch.from_numpy(np.stack(list(fitted(rows, names, fitting, changes))))
            yield ImageBatch(names, rows, list(labels[start : start + len(rows)]), [], changes)

    return ImageStream(batches(), len(images))


def fitted(
    rows: Tensor, names: Sequence[str], fitting: Fitting, changes: Changes
) -> Iterator[NDArray[np.uint8]]:
    """Images of another shape, each brought to the model's."""
    for name, row in zip(names, rows.numpy(), strict=True):
        pixels = row[0] if row.shape[0] == 1 else row.transpose(1, 2, 0)
        yield fitting.pixels(name, Image.fromarray(np.ascontiguousarray(pixels)), changes)
