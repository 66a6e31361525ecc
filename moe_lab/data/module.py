"""From a source to loaders: split, statistics, copies on the device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightning import LightningDataModule
from torch import Tensor

from moe_lab.data.augment import Augment
from moe_lab.data.corruption import Corruption
from moe_lab.data.random_labels import NOTE, memory_task
from moe_lab.data.resident import ResidentLoader
from moe_lab.data.sources import Part, Source, check_sets, fingerprint, pixel_statistics
from moe_lab.data.split import Split
from moe_lab.errors import DataError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Prepared:
    """What `prepare` works out once."""

    parts: dict[str, Part]  # by split
    mean: Tensor  # [channels] in units of [0, 1]
    std: Tensor  # [channels]
    class_names: tuple[str, ...]
    name: str
    copy: str
    fingerprint: str
    pool_fingerprint: str
    notes: tuple[str, ...]
    num_domains: int | None


class ImageData(LightningDataModule):
    """The images of a source, split as `Split` says, normalised and served by resident loaders."""

    def __init__(
        self,
        source: Source,
        batch_size: int = 128,
        eval_batch_size: int = 1024,
        val_fraction: float | None = None,
        split_seed: int = 0,
        subset: int | None = None,
        classes: Sequence[int | str] | None = None,
        imbalance: float | Sequence[float] | None = None,
        test_subset: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        augment: Augment | None = None,
        seed: int = 0,
        labels: str | None = None,
        corruption: Corruption | None = None,
    ) -> None:
        super().__init__()
        for name, value, low in (
            ("batch_size", batch_size, 1),
            ("eval_batch_size", eval_batch_size, 1),
            ("seed", seed, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"{name} must be a whole number >= {low}, got {value!r}")
        if std is not None and min(std, default=0.0) <= 0:
            raise ValueError(f"std must be > 0 in every channel, got {std}")
        if labels not in (None, "random"):
            raise ValueError(f"labels must be random or null, got {labels!r}")
        self.random_labels, self.corruption = labels is not None, corruption
        if self.random_labels:
            val_fraction = 0.0  # a label that was held out could not be known
        self.split = Split(val_fraction, split_seed, subset, classes, imbalance, test_subset)
        self.source, self.augment, self.seed = source, augment, seed
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self._given = {"mean": mean, "std": std}
        self._prepared: Prepared | None = None
        self._resident: dict[tuple[str, torch.device], Part] = {}
        self._train_loaders: dict[tuple[torch.device, int, int], ResidentLoader] = {}

    def prepare(self) -> Prepared:
        """Loads, filters, splits and measures the images; the second call costs nothing."""
        if self._prepared is None:
            self._prepared = self._prepare()
        return self._prepared

    def prepare_data(self) -> None:
        # Lightning calls this on one process of a machine, so only that one downloads.
        self.prepare()

    def setup(self, stage: str) -> None:
        self.prepare()

    @property
    def num_classes(self) -> int:
        return len(self.prepare().class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.prepare().class_names

    @property
    def num_domains(self) -> int | None:
        """How many domains the images come from; None where that is not known."""
        return self.prepare().num_domains

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        channels, height, width = self.prepare().parts["train"][0].shape[1:]
        return channels, height, width

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.prepare().name

    @property
    def copy(self) -> str:
        return self.prepare().copy

    @property
    def fingerprint(self) -> str:
        return self.prepare().fingerprint

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what a person should know of how the images were read and chosen."""
        return self.prepare().notes

    @property
    def pool_fingerprint(self) -> str:
        """The fingerprint without the split seed: runs that share it repeat one experiment."""
        return self.prepare().pool_fingerprint

    @property
    def mean(self) -> Tensor:
        return self.prepare().mean

    @property
    def std(self) -> Tensor:
        return self.prepare().std

    @property
    def sizes(self) -> dict[str, int]:
        return {split: len(labels) for split, (_, labels, *_) in self.prepare().parts.items()}

    def train_dataloader(self) -> ResidentLoader:
        """The same object in every epoch, so that its position can be saved and restored."""
        place = self._place()
        if place not in self._train_loaders:
            self._train_loaders[place] = self.loader("train", *place)
        return self._train_loaders[place]

    def val_dataloader(self) -> ResidentLoader | list[ResidentLoader]:
        # An empty list tells Lightning that there is no validation.
        return self.loader("val", *self._place()) if self.sizes["val"] else []

    def test_dataloader(self) -> ResidentLoader:
        return self.loader("test", *self._place())

    def loader(
        self,
        split: str,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
        training: bool | None = None,
    ) -> ResidentLoader:
        """A new loader over "train", "val" or "test"; `training` shuffles and augments.

        `training` is by default what the split is for; False reads training images as they are.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        prepared = self.prepare()
        training = split == "train" if training is None else training
        images, labels, *domains = self._on_device(split, torch.device(device))
        return ResidentLoader(
            images,
            labels,
            self.batch_size if training else self.eval_batch_size,
            prepared.mean,
            prepared.std,
            seed=self.seed,
            shuffle=training,
            augment=self.augment if training else None,
            device=device,
            rank=rank,
            world_size=world_size,
            domains=domains[0] if domains else None,
        )

    def _place(self) -> tuple[torch.device, int, int]:
        if self.trainer is None:
            return torch.device("cpu"), 0, 1
        trainer = self.trainer
        return trainer.strategy.root_device, trainer.global_rank, trainer.world_size

    def _on_device(self, split: str, device: torch.device) -> Part:
        if (split, device) not in self._resident:
            part = self.prepare().parts[split]
            self._resident[split, device] = tuple(tensor.to(device) for tensor in part)
        return self._resident[split, device]

    def _prepare(self) -> Prepared:
        sets = self.source.load()
        check_sets(sets)
        sets = self.split.chosen(sets)
        parts = self.split.parts(sets)
        if self.random_labels:
            parts = memory_task(parts["train"], len(sets.class_names), self.split.seed)
        if self.corruption is not None:
            parts = self.corruption.applied(parts)
        measured = dict(zip(("mean", "std"), pixel_statistics(parts["train"][0]), strict=True))
        changes = self._changes()
        pixels = "".join((fingerprint(sets), *changes))
        return Prepared(
            parts,
            self._statistic("mean", measured["mean"]),
            self._statistic("std", measured["std"]),
            sets.class_names,
            sets.name,
            "; ".join((self.split.copy_of(sets), *changes)),
            short_hash(f"{pixels} {self.split.recipe(sets)}"),
            short_hash(f"{pixels} {self.split.rule(sets)}"),
            (*sets.notes, *self.split.notes(sets), *changes),
            sets.num_domains,
        )

    def _changes(self) -> list[str]:
        """Sentences on what was changed of the images and labels of the source."""
        changes = [NOTE] if self.random_labels else []
        return changes if self.corruption is None else [*changes, self.corruption.note]

    def _statistic(self, name: str, measured: Tensor) -> Tensor:
        given = self._given[name]
        if given is None:
            return measured
        if len(given) != len(measured):
            raise DataError(
                f"dataset.{name} has {len(given)} numbers",
                f"one for each of the {len(measured)} channels",
                f"give {len(measured)} numbers, or null to compute them",
            )
        return torch.tensor([float(value) for value in given])


def short_hash(text: str) -> str:
    """Sixteen hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
