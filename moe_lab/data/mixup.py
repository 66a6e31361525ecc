"""Mixup and cutmix: two training images in one, with the labels of both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Mix:
    """Mixes each image of a batch with the one before it; the share of an image is drawn from
    Beta(alpha, alpha) once per batch.

    mixup (Zhang et al. 2018): share * image + (1 - share) * partner. cutmix (Yun et al. 2019): a
    box of 1 - share of the area shows the partner. With both, each batch takes one of them with
    probability 1/2. An alpha of 0 switches that one off.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for name, alpha in (("mixup", self.mixup), ("cutmix", self.cutmix)):
            if isinstance(alpha, bool) or not 0 <= alpha < math.inf:
                raise ValueError(f"{name} must be a number >= 0, got {alpha!r}")

    def __call__(self, images: Tensor, generator: Generator) -> tuple[Tensor, float]:
        """[B, channels, height, width] float -> mixed images and the share of each image's own
        label; the rest is that of `partners`.
        """
        coin = float(torch.rand((), generator=generator))
        if self.cutmix and (coin < 0.5 or not self.mixup):
            return cutmix(images, draw_share(self.cutmix, generator), generator)
        share = draw_share(self.mixup, generator)
        return torch.lerp(partners(images), images, share), share


def partners(rows: Tensor) -> Tensor:
    """What each image of a batch, or its label, is mixed with. [B, ...] -> [B, ...]"""
    # The order of a batch is random already, so the neighbour is a random partner.
    return rows.roll(1, 0)


def draw_share(alpha: float, generator: Generator) -> float:
    """A draw from Beta(alpha, alpha), for which torch takes no generator."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def cutmix(images: Tensor, share: float, generator: Generator) -> tuple[Tensor, float]:
    """Pastes a box of the partner around a random centre. The share that is returned is the area
    that is left, since a box may be cut off at the edge.
    """
    height, width = images.shape[2:]
    side = math.sqrt(1 - share)
    middle = (
        int(torch.randint(height, (), generator=generator)),
        int(torch.randint(width, (), generator=generator)),
    )
    half = int(side * height) // 2, int(side * width) // 2
    top, left = (max(0, m - h) for m, h in zip(middle, half, strict=True))
    bottom, right = min(height, middle[0] + half[0]), min(width, middle[1] + half[1])
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = partners(images)[:, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)
