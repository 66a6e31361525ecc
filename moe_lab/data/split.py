"""Which images of a source a run sees: classes, subset, validation split, imbalance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from moe_lab.data.sources import ImageSets, keep_classes, stratified
from moe_lab.errors import DataError

Part = tuple[Tensor, Tensor]  # images [B, channels, height, width] uint8, labels [B] int64


@dataclass(frozen=True)
class Split:
    """Keeps some classes, draws a subset of the training images, holds out a validation part and
    thins the rest out class by class; all draws follow from `seed`.

    `imbalance` leaves validation and test as they are. A number r is a long tail (Cui et al. 2019):
    class c of C keeps the share r^(-c / (C - 1)) of its images, all for the first and 1 / r for the
    last. A list holds each class's share.
    """

    val_fraction: float = 0.1
    seed: int = 0
    subset: int | None = None  # training images before the validation part is held out
    classes: Sequence[int | str] | None = None  # relabelled 0, 1, ... in this order
    imbalance: float | Sequence[float] | None = None

    def __post_init__(self) -> None:
        for name, value, low in (
            ("split_seed", self.seed, 0),
            ("subset", 1 if self.subset is None else self.subset, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"{name} must be a whole number >= {low}, got {value!r}")
        if not 0 <= self.val_fraction < 1:
            raise ValueError(f"val_fraction must be in [0, 1), got {self.val_fraction}")
        if self.classes is not None and len(set(self.classes)) < max(1, len(self.classes)):
            raise ValueError(f"classes must be a list without repeats or null, got {self.classes}")
        if isinstance(self.imbalance, int | float):
            if self.imbalance < 1:
                raise ValueError(
                    "imbalance must be >= 1, how many times the first class outnumbers the last, "
                    f"or a list of shares, got {self.imbalance}"
                )
        elif self.imbalance is not None and not all(0 < share <= 1 for share in self.imbalance):
            raise ValueError(
                f"imbalance must list shares above 0 and up to 1, got {list(self.imbalance)}"
            )

    @property
    def recipe(self) -> str:
        """What the fingerprint of the data says about the split; classes show in the images."""
        thinned = "" if self.imbalance is None else f" {self._as_given()}"
        return f"{self.subset} {self.val_fraction} {self.seed}{thinned}"

    def chosen(self, sets: ImageSets) -> ImageSets:
        """The images of the wanted classes."""
        return sets if self.classes is None else keep_classes(sets, list(self.classes))

    def parts(self, sets: ImageSets) -> dict[str, Part]:
        """Training, validation and test images of what `chosen` kept."""
        images, labels = sets.train_images, sets.train_labels
        if self.subset is not None:
            if self.subset > len(labels):
                raise DataError(
                    f"dataset.subset={self.subset}, but {sets.name} has {len(labels)} of them",
                    f"at most {len(labels)} training images",
                    "lower dataset.subset or set it to null",
                )
            drawn = stratified(labels, self.subset, Generator().manual_seed(2 * self.seed))
            images, labels = images[drawn], labels[drawn]
        generator = Generator().manual_seed(2 * self.seed + 1)
        held_out = stratified(labels, self._num_val(len(labels)), generator)
        train = images[~held_out], labels[~held_out]
        if self.imbalance is not None:
            rows = thinned(train[1], self._shares(len(sets.class_names)), generator)
            train = train[0][rows], train[1][rows]
        return {
            "train": train,
            "val": (images[held_out], labels[held_out]),
            "test": (sets.test_images, sets.test_labels),
        }

    def _num_val(self, available: int) -> int:
        if self.val_fraction == 0:
            return 0
        count = max(1, round(available * self.val_fraction))
        if count >= available:
            raise DataError(
                f"{available} training images with val_fraction {self.val_fraction} leave none",
                "at least one image each for training and validation",
                "raise dataset.subset or lower dataset.val_fraction",
            )
        return count

    def _shares(self, num_classes: int) -> list[float]:
        """The share that each class keeps."""
        given = self._as_given()
        if isinstance(given, float):
            last = max(1, num_classes - 1)
            return [given ** (-label / last) for label in range(num_classes)]
        if len(given) != num_classes:
            raise DataError(
                f"dataset.imbalance lists {len(given)} shares for {num_classes} classes",
                f"{num_classes} shares, or one number",
                "give a share for each class, in the order of dataset.classes",
            )
        return given

    def _as_given(self) -> float | list[float]:
        assert self.imbalance is not None
        if isinstance(self.imbalance, int | float):
            return float(self.imbalance)
        return [float(share) for share in self.imbalance]


def thinned(labels: Tensor, shares: Sequence[float], generator: Generator) -> Tensor:
    """Marks each class's share of images at random, at least one: [B] -> [B] bool."""
    kept = torch.zeros(len(labels), dtype=torch.bool)
    for label, share in enumerate(shares):
        rows = (labels == label).nonzero().view(-1)
        order = torch.randperm(len(rows), generator=generator)
        kept[rows[order[: max(1, round(share * len(rows)))]]] = True
    return kept
