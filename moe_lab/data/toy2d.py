"""Points in a square as images of two pixels, so that decision regions can be drawn."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from moe_lab.data.sources import ImageSets, Source

BOARD = 4  # fields along a side of the checkerboard
RADIUS = 0.42  # of the outermost ring and of the ring that blobs lie on; the side is 1


class Toy2DSource(Source):
    """Points of a checkerboard, of rings or of blobs, as uint8 images [B, 1, 1, 2] of (x, y).

    The square has side 1; a pixel holds round(255 * coordinate), so the points lie on a grid of
    256 x 256. `noise` is the standard deviation of the shift of a point, in units of the side.
    Classes are equally frequent; points that the noise moves outside are clamped to the edge.
    """

    def __init__(
        self,
        kind: str = "checkerboard",
        num_train: int = 4000,
        num_test: int = 1000,
        num_classes: int = 2,
        noise: float = 0.01,
        seed: int = 0,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if not 2 <= num_classes <= BOARD:
            raise ValueError(f"num_classes must be in 2..{BOARD}, got {num_classes}")
        if min(num_train, num_test) < num_classes:
            raise ValueError(
                f"num_train and num_test must be >= num_classes ({num_classes}), "
                f"got {num_train} and {num_test}"
            )
        if noise < 0:
            raise ValueError(f"noise must be >= 0, got {noise}")
        if seed < 0:
            raise ValueError(f"seed must be >= 0, got {seed}")
        self.kind, self.num_classes, self.noise, self.seed = kind, num_classes, noise, seed
        self.num_train, self.num_test = num_train, num_test

    def load(self) -> ImageSets:
        generator = torch.Generator().manual_seed(self.seed)
        sizes = (self.num_train, self.num_test)
        labels = torch.cat([torch.arange(size) % self.num_classes for size in sizes])
        points = KINDS[self.kind](labels, self.num_classes, generator)
        points = points + self.noise * torch.randn(points.shape, generator=generator)
        images = (points.clamp(0, 1) * 255).round().to(torch.uint8).view(-1, 1, 1, 2)
        return ImageSets(
            images[: self.num_train],
            labels[: self.num_train],
            images[self.num_train :],
            labels[self.num_train :],
            tuple(str(label) for label in range(self.num_classes)),
            f"toy2d_{self.kind}",
            f"{self.kind} of {self.num_classes} classes, noise {self.noise:g}, seed {self.seed}",
        )


def checkerboard(labels: Tensor, num_classes: int, generator: Generator) -> Tensor:
    """Uniform in the fields of a class, (row + column) modulo classes: [B] -> [B, 2] in 0..1."""
    row = torch.randint(BOARD, labels.shape, generator=generator)
    # The columns of this class in this row start at (label - row) and repeat every num_classes.
    start = (labels - row) % num_classes
    available = (BOARD - 1 - start) // num_classes + 1
    turn = (torch.rand(labels.shape, generator=generator) * available).long()
    field = torch.stack((start + turn * num_classes, row), 1)
    return (field + torch.rand(len(labels), 2, generator=generator)) / BOARD


def circles(labels: Tensor, num_classes: int, generator: Generator) -> Tensor:
    """On rings about the centre, class 0 the innermost: [B] -> [B, 2] in 0..1."""
    angle = 2 * math.pi * torch.rand(labels.shape, generator=generator)
    return around_centre(RADIUS * (labels + 1) / num_classes, angle)


def blobs(labels: Tensor, num_classes: int, generator: Generator) -> Tensor:
    """In two blobs per class, opposite each other on a ring: [B] -> [B, 2] in 0..1."""
    side = torch.randint(2, labels.shape, generator=generator)
    angle = math.pi * (labels / num_classes + side)
    centres = around_centre(torch.full(angle.shape, RADIUS * 0.75), angle)
    return centres + 0.06 * torch.randn(centres.shape, generator=generator)


def around_centre(radius: Tensor, angle: Tensor) -> Tensor:
    """Polar coordinates about the centre of the square: [B], [B] -> [B, 2]."""
    return 0.5 + radius.unsqueeze(1) * torch.stack((angle.cos(), angle.sin()), 1)


KINDS: dict[str, Callable[[Tensor, int, Generator], Tensor]] = {
    "checkerboard": checkerboard,
    "circles": circles,
    "blobs": blobs,
}
