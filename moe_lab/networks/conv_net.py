"""A small convolutional network on rows of pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from moe_lab.networks.perceptron import check_positive, perceptron


@final
class ConvNet(nn.Module):
    """Blocks of 3x3 convolution, 2x2 pooling and ReLU, then a perceptron. [n, D] -> [n, out]

    The first `batch_norm` blocks have batch norm after the convolution.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        channels: int | Sequence[int],
        hidden: int | Sequence[int],
        out_features: int,
        padding: int = 1,
        batch_norm: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_shape = tuple(in_shape)
        widths = block_widths(channels, self.in_shape, padding)
        if not 0 <= batch_norm <= len(widths):
            raise ValueError(
                f"batch_norm must be 0..{len(widths)}, how many of the blocks have it, got "
                f"{batch_norm}"
            )
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise([self.in_shape[0], *widths])):
            # With a bias even before batch norm: published networks of this kind have it, and
            # numbers of parameters are compared.
            layers.append(nn.Conv2d(before, after, 3, padding=padding))
            if index < batch_norm:
                layers.append(nn.BatchNorm2d(after))
            # Pooled first: the ReLU of a maximum is the maximum of ReLUs, of a quarter as many.
            layers += [nn.MaxPool2d(2), nn.ReLU(inplace=True)]
        self.blocks = channels_last(nn.Sequential(*layers))
        height, width = self.in_shape[1:]
        for _ in widths:
            height, width = halved(height, padding), halved(width, padding)
        self.head = perceptron(widths[-1] * height * width, hidden, out_features, dropout)

    def forward(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.head[-1](self.hidden(features))
        return outputs

    def hidden(self, features: Tensor) -> Tensor:
        """What the last layer reads. [n, D] -> [n, H]"""
        # Apart from the last layer, because a gate runs that one in float32 (see `scores_of`).
        last: Tensor = self.head[:-1](self.blocks(as_images(features, self.in_shape)))
        return last


def channels_last(blocks: nn.Sequential) -> nn.Sequential:
    """The same blocks, with weights laid out like `as_images`."""
    # Forward and backward take 0.6 to 0.8 times as long in this layout (three sizes, with and
    # without norm, one CPU thread).
    return blocks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def as_images(features: Tensor, in_shape: Sequence[int]) -> Tensor:
    """Rows of pixels as images again, channels last in memory. [n, D] -> [n, *in_shape]"""
    images = features.flatten(1).unflatten(1, tuple(in_shape))
    return images.contiguous(memory_format=torch.channels_last)


def is_image(in_features: int, in_shape: Sequence[int]) -> bool:
    """Whether so many features are the pixels of an image of shape (channels, height, width)."""
    return len(in_shape) == 3 and math.prod(in_shape) == in_features


def block_widths(
    channels: int | Sequence[int], in_shape: Sequence[int], padding: int = 1
) -> list[int]:
    """The channels of each block, as a list; refuses more blocks than can halve the image."""
    if padding not in (0, 1):
        raise ValueError(f"padding must be 0 or 1, got {padding}")
    widths = [channels] if isinstance(channels, int) else list(channels)
    check_positive(**{f"channels[{index}]": width for index, width in enumerate(widths)})
    height, width = in_shape[1:]
    smallest, most = halved(min(height, width), padding), 0
    while smallest >= 1:
        smallest, most = halved(smallest, padding), most + 1
    if not 1 <= len(widths) <= most:
        raise ValueError(
            f"channels must name 1..{most} blocks for {height}x{width} images, since each "
            f"halves them{'' if padding else ' after cutting off a border'}; got {widths}"
        )
    return widths


def halved(size: int, padding: int) -> int:
    """Height or width after a block: the 3x3 convolution takes 2 - 2 * padding off it first."""
    return (size - 2 + 2 * padding) // 2
