"""The fixed transformations under which a domain shows its images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from moe_lab.data.resident import seeded

View = Callable[[Tensor], Tensor]  # images [B, channels, height, width] uint8 -> same
PERMUTATION_STREAM = 5  # of the draws that follow from a seed; the others are in split and resident


def permutations(count: int, height: int, width: int, seed: int) -> list[View]:
    """`count` orders of the pixels, of which the first leaves them as they are and the others are
    random; all channels of an image in one order (permuted MNIST, Goodfellow et al. 2013).
    """
    return [PixelOrder(pixel_order(index, height * width, seed)) for index in range(count)]


def pixel_order(index: int, num_pixels: int, seed: int) -> Tensor:
    """Which pixel comes to each place in view `index`, [pixels]."""
    if index == 0:
        return torch.arange(num_pixels)
    return torch.randperm(num_pixels, generator=seeded(seed, PERMUTATION_STREAM, index))


class PixelOrder:
    """Puts the pixels of an image into another order."""

    def __init__(self, order: Tensor) -> None:
        self.order = order

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(2)[..., self.order].view(images.shape)


def turn(index: int) -> View:
    """A view of eight: `index` % 4 quarter turns to the left, inverted from index 4 on."""

    def view(images: Tensor) -> Tensor:
        turned = images.rot90(index % 4, (2, 3))
        return 255 - turned if index >= 4 else turned

    return view


def turns(count: int, height: int, width: int, seed: int) -> list[View]:
    """The first `count` of four quarter turns and the inverted four."""
    if count > 8:
        raise ValueError(f"view=turns has 8 views, got num_views {count}")
    if height != width and count > 1:
        raise ValueError(f"view=turns needs square images, got {height}x{width}")
    return [turn(index) for index in range(count)]


def looks(count: int, height: int, width: int, seed: int) -> list[View]:
    """The first `count` of: as it is, inverted, pixels in another order."""
    if count > 3:
        raise ValueError(f"view=looks has 3 views, got num_views {count}")
    views: list[View] = [turn(0), turn(4), PixelOrder(pixel_order(1, height * width, seed))]
    return views[:count]


VIEWS: dict[str, Callable[[int, int, int, int], list[View]]] = {
    "permutations": permutations,
    "turns": turns,
    "looks": looks,
}
