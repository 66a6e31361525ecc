"""What a source of images hands over, and the checks, choices and sums made over it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from moe_lab.errors import DataError

# Images [B, channels, height, width] uint8, labels [B] int64 and, where images come from domains
# that are known, the domain [B] int64 of each.
Part = tuple[Tensor, ...]


@dataclass(frozen=True)
class ImageSets:
    """The training and the test images of one data set, as they are on disk."""

    train_images: Tensor  # [B, channels, height, width] uint8
    train_labels: Tensor  # [B] int64
    test_images: Tensor  # [B, channels, height, width] uint8
    test_labels: Tensor  # [B] int64
    class_names: tuple[str, ...]
    name: str  # what tables call it: "mnist", "mnist_5k"
    copy: str  # a plain sentence on which copy of the data this is
    val_images: Tensor | None = None  # [B, channels, height, width] uint8, where they are given
    val_labels: Tensor | None = None  # [B] int64
    notes: tuple[str, ...] = ()  # sentences on what a person should know of how they were read
    # [B] int64: which of several domains an image comes from, where that is known. No model sees
    # it, but for a control that is asked to; routing is scored against it.
    train_domains: Tensor | None = None
    test_domains: Tensor | None = None
    val_domains: Tensor | None = None

    def parts(self) -> dict[str, Part]:
        """Images, labels and perhaps domains of "train", "test" and, where it is given, "val"."""
        found = {
            "train": part_of(self.train_images, self.train_labels, self.train_domains),
            "test": part_of(self.test_images, self.test_labels, self.test_domains),
        }
        if self.val_images is not None and self.val_labels is not None:
            found["val"] = part_of(self.val_images, self.val_labels, self.val_domains)
        return found

    @property
    def num_domains(self) -> int | None:
        """How many domains the images come from; None where that is not known."""
        domains = self.train_domains
        return None if domains is None else int(domains.max()) + 1


def part_of(images: Tensor, labels: Tensor, domains: Tensor | None) -> Part:
    """Images and labels, and their domains where these are known."""
    return (images, labels) if domains is None else (images, labels, domains)


def fields_of(parts: Mapping[str, Part]) -> dict[str, Tensor]:
    """What `parts` gives as fields of `ImageSets`: `train_images`, `train_labels`, ..."""
    kinds = ("images", "labels", "domains")
    return {
        f"{name}_{kind}": tensor
        for name, part in parts.items()
        for kind, tensor in zip(kinds, part, strict=False)
    }


class Source(ABC):
    """Where images come from: a folder, a download, a package or a random generator."""

    @abstractmethod
    def load(self) -> ImageSets:
        """Both parts in memory; raises `DataError` for bad files, `DataUnavailable` for none."""


def fingerprint(sets: ImageSets) -> str:
    """The first 16 hex digits of the sha256 over shapes, pixels, labels and class names."""
    digest = hashlib.sha256()
    # Not over domains: they change neither what is trained nor what is tested.
    for tensor in (tensor for part in sets.parts().values() for tensor in part[:2]):
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    digest.update("\0".join(sets.class_names).encode())
    return digest.hexdigest()[:16]


def check_sets(sets: ImageSets) -> None:
    """Raises `DataError` unless shapes, counts, types and labels fit together."""
    shape = sets.train_images.shape[1:]
    for part, (images, labels, *domains) in sets.parts().items():
        check_part(sets, part, images, labels)
        assert all(len(domain) == len(labels) for domain in domains)
        if images.shape[1:] != shape:
            raise DataError(
                f"{sets.name}: images of train are {tuple(shape)}, "
                f"of {part} {tuple(images.shape[1:])}",
                "one [channels, height, width] for all images",
                "resize the images (dataset.image_size for a folder) or mend the files",
            )


def check_part(sets: ImageSets, part: str, images: Tensor, labels: Tensor) -> None:
    def fail(wrong: str, expected: str) -> None:
        raise DataError(f"{sets.name}, {part}: {wrong}", expected, "mend or replace the files")

    if images.dtype != torch.uint8 or images.ndim != 4:
        fail(
            f"images are {images.dtype} with shape {tuple(images.shape)}",
            "uint8 [images, channels, height, width]",
        )
    if labels.dtype != torch.int64 or labels.ndim != 1:
        fail(f"labels are {labels.dtype} with shape {tuple(labels.shape)}", "int64 [images]")
    if len(images) != len(labels):
        fail(f"{len(images)} images but {len(labels)} labels", "as many labels as images")
    if images.numel() == 0:
        fail("there are no images", "at least one image")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(sets.class_names):
        fail(f"labels run from {low} to {high}", f"labels 0 to {len(sets.class_names) - 1}")


def stratified(labels: Tensor, count: int, generator: Generator) -> Tensor:
    """Marks `count` images, each class in proportion (largest remainders): [B] -> [B] bool."""
    sizes = torch.bincount(labels)
    exact = sizes.double() * count / len(labels)
    quota = exact.floor().long()
    largest = (exact - quota).argsort(descending=True, stable=True)
    quota[largest[: count - int(quota.sum())]] += 1
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for rows, wanted in zip(by_class.split(sizes.tolist()), quota.tolist(), strict=True):
        chosen[rows[:wanted]] = True
    return chosen


def pixel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel in units of [0, 1], both [channels]."""
    total = squares = torch.zeros(images.shape[1], dtype=torch.int64)
    for chunk in images.split(4096):  # whole numbers, so that the sums are exact
        total = total + chunk.sum((0, 2, 3), dtype=torch.int64)
        squares = squares + chunk.int().square_().sum((0, 2, 3), dtype=torch.int64)
    count = images.numel() / images.shape[1]
    mean = total.double() / count
    std = (squares.double() / count - mean.square()).clamp(min=0).sqrt()
    # A channel of one value only is left unscaled rather than divided by zero.
    std = torch.where(std > 1e-3, std / 255, 1.0)
    return (mean / 255).float(), std.float()
