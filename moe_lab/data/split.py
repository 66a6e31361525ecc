"""Which images of a source a run sees: classes, subset, validation split, imbalance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from moe_lab.data.classes import keep_classes
from moe_lab.data.resident import seeded
from moe_lab.data.sources import ImageSets, Part, stratified
from moe_lab.errors import DataError

TEST_STREAM = 4  # of the draws that follow from a seed; the others are in resident


@dataclass(frozen=True)
class Split:
    """Keeps some classes, draws a subset of the training images, holds out a validation part and
    thins the rest out class by class; all draws follow from `seed`.

    Validation images that the source gives are used instead of held-out ones. The test images stay
    whole unless `test_subset` draws some, each class in proportion.

    `imbalance` leaves validation and test as they are. A number r is a long tail (Cui et al. 2019):
    class c of C keeps the share r^(-c / (C - 1)) of its images, all for the first and 1 / r for the
    last. A list holds each class's share.
    """

    val_fraction: float | None = None  # null: the source's own validation images, or else 0.1
    seed: int = 0
    subset: int | None = None  # training images before the validation part is held out
    classes: Sequence[int | str] | None = None  # relabelled 0, 1, ... in this order
    imbalance: float | Sequence[float] | None = None
    test_subset: int | None = None  # test images

    def __post_init__(self) -> None:
        for name, value, low in (
            ("split_seed", self.seed, 0),
            ("subset", 1 if self.subset is None else self.subset, 1),
            ("test_subset", 1 if self.test_subset is None else self.test_subset, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"{name} must be a whole number >= {low}, got {value!r}")
        if self.val_fraction is not None and not 0 <= self.val_fraction < 1:
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

    def recipe(self, sets: ImageSets) -> str:
        """What the fingerprint of the data says about the split; classes show in the images."""
        return self._recipe(sets, str(self.seed))

    def rule(self, sets: ImageSets) -> str:
        """The recipe without its seed: what the draws of all split seeds have in common."""
        return self._recipe(sets, "any")

    def _recipe(self, sets: ImageSets, seed: str) -> str:
        thinned = "" if self.imbalance is None else f" {self._as_given()}"
        tested = "" if self.test_subset is None else f" test {self.test_subset}"
        held_out = "given" if "val" in sets.parts() else self._held_out
        return f"{self.subset} {held_out} {seed}{thinned}{tested}"

    def notes(self, sets: ImageSets) -> list[str]:
        """Sentences on which of the images are not used, and what the test accuracy is of."""
        train, test = len(sets.train_labels), len(sets.test_labels)
        notes = []
        if self.subset is not None:
            notes.append(f"{self.subset:,} of {train:,} training images (dataset.subset)")
        if self.test_subset is not None:
            notes.append(
                f"tested on {self.test_subset:,} of {test:,} test images (dataset.test_subset): "
                "not to be compared with the whole"
            )
        elif self.subset is not None:
            notes[0] += (
                f"; the test set stays whole, {test:,} images (dataset.test_subset takes fewer)"
            )
        return notes

    def copy_of(self, sets: ImageSets) -> str:
        """Which copy of the data it is, and that it is not tested as a whole, where that is so."""
        if self.test_subset is None:
            return sets.copy
        return f"{sets.copy}; {self.test_subset:,} of its {len(sets.test_labels):,} test images"

    def chosen(self, sets: ImageSets) -> ImageSets:
        """The images of the wanted classes."""
        return sets if self.classes is None else keep_classes(sets, list(self.classes))

    def parts(self, sets: ImageSets) -> dict[str, Part]:
        """Training, validation and test images of what `chosen` kept."""
        whole = sets.parts()
        generator = Generator().manual_seed(2 * self.seed)
        drawn = subset_of("subset", self.subset, whole["train"], sets.name, generator)
        tested = subset_of(
            "test_subset",
            self.test_subset,
            whole["test"],
            sets.name,
            seeded(self.seed, TEST_STREAM),
        )
        given = whole.get("val")
        if given is not None and self.val_fraction is not None:
            raise DataError(
                f"dataset.val_fraction={self.val_fraction}, but {sets.name} has validation images",
                "either a share of the training images, or a folder val",
                "leave out dataset.val_fraction (or set it to null), or move val elsewhere",
            )
        generator = Generator().manual_seed(2 * self.seed + 1)
        count = 0 if given is not None else self._num_val(len(drawn[1]))
        held_out = stratified(drawn[1], count, generator)
        train = rows_of(drawn, ~held_out)
        if self.imbalance is not None:
            train = rows_of(
                train, thinned(train[1], self._shares(len(sets.class_names)), generator)
            )
        return {"train": train, "val": given or rows_of(drawn, held_out), "test": tested}

    @property
    def _held_out(self) -> float:
        """The share of the training images that validate where no others are given."""
        return 0.1 if self.val_fraction is None else self.val_fraction

    def _num_val(self, available: int) -> int:
        if self._held_out == 0:
            return 0
        count = max(1, round(available * self._held_out))
        if count >= available:
            raise DataError(
                f"{available} training images with val_fraction {self._held_out} leave none",
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


def rows_of(part: Part, rows: Tensor) -> Part:
    """The images that `rows` marks or lists, with all that is known of them."""
    return tuple(tensor[rows] for tensor in part)


def subset_of(key: str, count: int | None, part: Part, name: str, generator: Generator) -> Part:
    """`count` of the images, each class in proportion, or all of them for None."""
    labels = part[1]
    if count is None:
        return part
    if count > len(labels):
        kind = "test" if key == "test_subset" else "training"
        raise DataError(
            f"dataset.{key}={count}, but {name} has {len(labels)} of them",
            f"at most {len(labels)} {kind} images",
            f"lower dataset.{key} or set it to null",
        )
    return rows_of(part, stratified(labels, count, generator))


def thinned(labels: Tensor, shares: Sequence[float], generator: Generator) -> Tensor:
    """Marks each class's share of images at random, at least one: [B] -> [B] bool."""
    kept = torch.zeros(len(labels), dtype=torch.bool)
    for label, share in enumerate(shares):
        rows = (labels == label).nonzero().view(-1)
        order = torch.randperm(len(rows), generator=generator)
        kept[rows[order[: max(1, round(share * len(rows)))]]] = True
    return kept
