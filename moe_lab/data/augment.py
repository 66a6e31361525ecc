"""Augmentation of uint8 batches on their device, drawn from a CPU generator.

The generator is always on the CPU, so that a run sees the same draws on every device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Augment:
    """Flip, then shift, then cut out: [B, channels, height, width] uint8 -> same."""

    shift: int = 0  # largest shift in pixels along each axis
    flip: bool = False  # mirror left to right with probability 1/2
    cutout: int = 0  # side of the blackened square in pixels

    def __post_init__(self) -> None:
        for name, value in (("shift", self.shift), ("cutout", self.cutout)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} must be a whole number >= 0, got {value!r}")
        if not isinstance(self.flip, bool):
            raise ValueError(f"flip must be true or false, got {self.flip!r}")

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        if self.flip:
            images = random_flip(images, generator)
        if self.shift:
            images = random_shift(images, self.shift, generator)
        if self.cutout:
            images = cutout(images, self.cutout, generator)
        return images

    @property
    def is_identity(self) -> bool:
        return not (self.shift or self.flip or self.cutout)


def random_shift(images: Tensor, pixels: int, generator: Generator) -> Tensor:
    """Moves each image by -pixels..pixels along both axes, zeros coming in (pad and crop)."""
    num_images, channels, height, width = images.shape
    draws = torch.randint(0, 2 * pixels + 1, (2, num_images), generator=generator)
    # One row more than pad-and-crop needs: a window of whole rows may run past its last pixel.
    padded = pad(images, (pixels, pixels, pixels, pixels + 1))
    stride, plane = padded.shape[3], padded.shape[2] * padded.shape[3]
    rows, columns = draws.to(images.device, non_blocking=True)
    starts = rows * stride + columns
    planes = torch.arange(num_images * channels, device=images.device).view(-1, channels) * plane
    # A shifted plane is one run of memory in its padded plane, so a single gather of whole runs
    # replaces a gather of pixels and is six times as fast.
    length = height * stride
    windows = padded.as_strided((num_images * channels * plane - length + 1, length), (1, 1))
    moved = windows.index_select(0, (planes + starts[:, None]).flatten())
    return moved.view(num_images, channels, height, stride)[..., :width]


def random_flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirrors each image left to right with probability 1/2."""
    draws = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(draws.to(images.device, non_blocking=True), images.flip(-1), images)


def cutout(images: Tensor, size: int, generator: Generator) -> Tensor:
    """Blackens one size x size square, wholly inside, at a random place of each image."""
    num_images, _, height, width = images.shape
    if size > min(height, width):
        raise ValueError(f"cutout must be <= {min(height, width)} for these images, got {size}")
    top = torch.randint(0, height - size + 1, (num_images, 1), generator=generator)
    left = torch.randint(0, width - size + 1, (num_images, 1), generator=generator)
    rows = covered(top.to(images.device, non_blocking=True), size, height)  # [B, height]
    columns = covered(left.to(images.device, non_blocking=True), size, width)  # [B, width]
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def covered(start: Tensor, size: int, length: int) -> Tensor:
    """Where start <= position < start + size, [B, 1] -> [B, length] bool."""
    position = torch.arange(length, device=start.device)
    return (position >= start) & (position < start + size)
