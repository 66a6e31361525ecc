"""Batches gathered from uint8 images that stay on the training device.

Order and augmentation are functions of (seed, epoch, step), which makes a resumed run exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from moe_lab.data.augment import Augment
from moe_lab.data.mixup import partners
from moe_lab.errors import ConfigError

ORDER_STREAM, AUGMENT_STREAM, MIX_STREAM, FLIP_STREAM = range(4)
# Normalised images [B, channels, height, width] and labels [B]; where images are mixed, also the
# labels of the partners [B] and the share of the first ones, a float; where they are not, and come
# from domains that are known, also the domain [B] of each.
Batch = tuple[Any, ...]


def domain_of(batch: Batch) -> Tensor | None:
    """The domain of each image of a batch, [B]; None where it is not known."""
    return batch[2] if len(batch) == 3 else None


def mixture_of(batch: Batch) -> tuple[Tensor, float] | None:
    """The labels of the partners [B] and the share of the own ones; None without mixup."""
    return (batch[2], batch[3]) if len(batch) == 4 else None


class EpochSampler:
    """Holds the epoch; Lightning calls `loader.sampler.set_epoch` before each one."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class ResidentLoader:
    """Iterates (images [B, channels, height, width] float32 normalised, labels [B] int64), and
    with mixup or cutmix also (..., the partners' labels [B] int64, share of the own label); without
    them, where `domains` are given, also (..., domain [B] int64). A mixture of two images is of no
    one domain.

    `batch_size` is that of all ranks together: rank r takes rows r, r + world_size, ... of each
    batch, so the ranks together see exactly the batches of a single process. `shuffle` marks
    training: a last batch too small for batch norm (one image per rank) is then left out.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        mean: Tensor,
        std: Tensor,
        seed: int = 0,
        shuffle: bool = False,
        augment: Augment | None = None,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        domains: Tensor | None = None,
    ) -> None:
        if batch_size < world_size:
            raise ValueError(f"batch_size must be >= {world_size}, one per rank, got {batch_size}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be in 0..{world_size - 1}, got {rank}")
        if seed < 0:
            raise ValueError(f"seed must be >= 0, got {seed}")
        self.device = torch.device(device)
        self.images, self.labels = images.to(self.device), labels.to(self.device)
        self.domains = None if domains is None else domains.to(self.device)
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.augment = None if augment is None or augment.is_identity else augment
        self._starts_mirrored: Tensor | None = None
        if self.augment is not None:
            self._prepare_augmentation(self.augment)
        self.rank, self.world_size = rank, world_size
        self.sampler = EpochSampler()
        self.batch_sampler = None  # Lightning reads this wherever there is a sampler
        # (pixel / 255 - mean) / std written as pixel * scale + offset: one pass less
        self._scale = (1 / (255 * std.float())).view(-1, 1, 1).to(self.device)
        self._offset = (-mean.float() / std.float()).view(-1, 1, 1).to(self.device)
        self._bounds = batch_bounds(len(images), batch_size, shuffle, world_size, drop_last)
        self._position = self._resume_at = 0

    def __len__(self) -> int:
        return len(self._bounds)

    def __iter__(self) -> Iterator[Batch]:
        # Lightning never exhausts the generator, so a resumed position is consumed here, once.
        self._position, self._resume_at = self._resume_at, 0
        return self._batches(self._position)

    def state_dict(self) -> dict[str, int]:
        """The next step; a finished epoch stands at 0 of the following one."""
        return {"position": self._position % max(len(self), 1)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._position = self._resume_at = state["position"] % max(len(self), 1)

    def _prepare_augmentation(self, augment: Augment) -> None:
        try:
            augment.check_size(*self.images.shape[2:])
        except ValueError as error:
            raise ConfigError(f"dataset.augment.{error}") from None
        if augment.flip == "alternating":
            draws = torch.rand(len(self.images), generator=seeded(self.seed, FLIP_STREAM)) < 0.5
            self._starts_mirrored = draws.to(self.device)

    def _batches(self, start: int) -> Iterator[Batch]:
        # Read here and not in __iter__: Lightning sets a resumed epoch after calling iter().
        epoch = self.sampler.epoch
        order = self._order(epoch)
        for step in range(start, len(self)):
            rows = order[slice(*self._bounds[step])]
            self._position = step + 1
            yield self._batch(rows, epoch, step)

    def _order(self, epoch: int) -> Tensor:
        if not self.shuffle:
            return torch.arange(len(self.images), device=self.device)
        generator = seeded(self.seed, ORDER_STREAM, epoch)
        return torch.randperm(len(self.images), generator=generator).to(self.device)

    def _batch(self, rows: Tensor, epoch: int, step: int) -> Batch:
        own = slice(self.rank, None, self.world_size)
        if self.augment is None:
            mine = rows[own]
            return self._known(self._normalised(self.images.index_select(0, mine)), mine)
        # Every rank augments the whole batch: its own rows then get the same draws as in one
        # process, at a cost that is negligible beside a training step.
        generator = seeded(self.seed, AUGMENT_STREAM, epoch, step)
        mirrored = None
        if self._starts_mirrored is not None:
            mirrored = self._starts_mirrored[rows] ^ bool(epoch % 2)
        images = self.augment(self.images.index_select(0, rows), generator, mirrored)
        mix = self.augment.mix
        if mix is None:
            return self._known(self._normalised(images[own]), rows[own])
        mixed, share = mix(self._normalised(images), seeded(self.seed, MIX_STREAM, epoch, step))
        return mixed[own], self._labels(rows[own]), self._labels(partners(rows)[own]), share

    def _known(self, images: Tensor, rows: Tensor) -> Batch:
        """Images with their labels and, where they are known, domains."""
        if self.domains is None:
            return images, self._labels(rows)
        return images, self._labels(rows), self.domains.index_select(0, rows)

    def _labels(self, rows: Tensor) -> Tensor:
        return self.labels.index_select(0, rows)

    def _normalised(self, images: Tensor) -> Tensor:
        pixels = images.to(torch.float32, memory_format=torch.contiguous_format)
        return pixels.mul_(self._scale).add_(self._offset)


def batch_bounds(
    num_images: int, batch_size: int, training: bool, world_size: int, drop_last: bool
) -> list[tuple[int, int]]:
    """First and last + 1 row of each batch, the same on every rank.

    A short last training batch that leaves some rank a single image is dropped, because batch
    norm cannot train on it; a last evaluation batch with fewer images than ranks joins the one
    before it, so that no rank gets an empty batch.
    """
    starts = list(range(0, num_images, batch_size))
    bounds = [(start, min(start + batch_size, num_images)) for start in starts]
    if len(bounds) < 2:
        return bounds
    tail = bounds[-1][1] - bounds[-1][0]
    if tail < batch_size and (drop_last or (training and tail < 2 * world_size)):
        return bounds[:-1]
    if tail < world_size:
        return [*bounds[:-2], (bounds[-2][0], num_images)]
    return bounds


def seeded(*words: int) -> Generator:
    """A CPU generator for one (seed, stream, epoch, ...), independent of every other."""
    # Hashed together: with a sum of them, seed 0 in epoch 1 would draw as seed 1 in epoch 0.
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
