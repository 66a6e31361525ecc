"""Augmentation of uint8 batches on their device, drawn from a CPU generator.

The generator is always on the CPU, so that a run sees the same draws on every device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from moe_lab.data.mixup import Mix

Padding = Literal["zeros", "reflect"]


@dataclass(frozen=True)
class Augment:
    """Flip, then shift, then cut out: [B, channels, height, width] uint8 -> same.

    A shift of up to p pixels is the random crop that pads by p pixels and crops to the old size.
    flip=alternating mirrors an image in every other epoch, from a random start (Jordan 2024,
    airbench): two epochs show each image in both orientations. `mixup` and `cutmix` are the alphas
    of `Mix`, which comes after normalisation.
    """

    shift: int = 0  # largest shift in pixels along each axis
    flip: bool | Literal["alternating"] = False  # mirror left to right with probability 1/2
    cutout: int = 0  # side of the blackened square in pixels
    padding: Padding = "zeros"  # what a shift brings in
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("shift", self.shift), ("cutout", self.cutout)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} must be a whole number >= 0, got {value!r}")
        if not isinstance(self.flip, bool) and self.flip != "alternating":
            raise ValueError(f"flip must be true, false or alternating, got {self.flip!r}")
        if self.padding not in ("zeros", "reflect"):
            raise ValueError(f"padding must be zeros or reflect, got {self.padding!r}")
        Mix(self.mixup, self.cutmix)  # refuses bad alphas

    def __call__(
        self, images: Tensor, generator: Generator, mirrored: Tensor | None = None
    ) -> Tensor:
        """`mirrored` [B] bool says which images are mirrored, for flip=alternating."""
        if self.flip == "alternating":
            if mirrored is None:
                raise ValueError("flip=alternating needs to know which images are mirrored")
            images = flip(images, mirrored)
        elif self.flip:
            images = random_flip(images, generator)
        if self.shift:
            images = random_shift(images, self.shift, generator, self.padding)
        if self.cutout:
            images = cutout(images, self.cutout, generator)
        return images

    @property
    def is_identity(self) -> bool:
        return not (self.shift or self.flip or self.cutout or self.mix)

    @property
    def mix(self) -> Mix | None:
        """The mixing of images that comes last; None where both alphas are 0."""
        return Mix(self.mixup, self.cutmix) if self.mixup or self.cutmix else None

    def check_size(self, height: int, width: int) -> None:
        """ValueError where images of this size are too small for the augmentation."""
        least = min(height, width)
        if self.cutout > least:
            raise ValueError(f"cutout must be <= {least} for these images, got {self.cutout}")
        if self.padding == "reflect" and self.shift >= least:
            raise ValueError(
                f"shift must be < {least} for these images with padding=reflect, got {self.shift}"
            )


def random_shift(
    images: Tensor, pixels: int, generator: Generator, padding: Padding = "zeros"
) -> Tensor:
    """Shifts each image by -pixels..pixels along both axes and fills with zeros, or with the image
    mirrored at its edge (pad and crop).
    """
    num_images, channels, height, width = images.shape
    draws = torch.randint(0, 2 * pixels + 1, (2, num_images), generator=generator)
    # One row more than pad-and-crop needs: a window of whole rows may run past its last pixel.
    if padding == "reflect":
        padded = reflected(images, pixels)
    else:
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


def reflected(images: Tensor, pixels: int) -> Tensor:
    """Padded by its mirror image without the edge itself, and one row more at the bottom."""
    # torch's reflection padding takes bytes on some devices only, and float32 images are four times
    # as large.
    places = []
    for length, extra in ((images.shape[2], 1), (images.shape[3], 0)):
        place = torch.arange(-pixels, length + pixels + extra, device=images.device).abs()
        last = length - 1
        places.append((last - (place - last).abs()).abs())
    return images.index_select(2, places[0]).index_select(3, places[1])


def random_flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirrors each image left to right with probability 1/2."""
    draws = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return flip(images, draws.to(images.device, non_blocking=True))


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirrors left to right the images where `mirrored` [B] is true."""
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)


def cutout(images: Tensor, size: int, generator: Generator) -> Tensor:
    """Sets one size x size square to 0 at a random place inside each image (DeVries & Taylor 2017,
    who let it reach over the edge).
    """
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
