"""Small convolutional networks as experts, each on its own images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from moe_lab.experts.bank import check_positive
from moe_lab.experts.expert_list import ExpertList, mlp_expert


@final
class ConvExpert(nn.Module):
    """Blocks of 3x3 convolution, ReLU and 2x2 pooling, then a perceptron. [n, D] -> [n, out]"""

    def __init__(
        self,
        in_shape: Sequence[int],
        channels: int | Sequence[int],
        hidden: int | list[int],
        out_features: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_shape = tuple(in_shape)
        widths = block_widths(channels, self.in_shape)
        layers: list[nn.Module] = []
        for before, after in pairwise([self.in_shape[0], *widths]):
            layers += [
                nn.Conv2d(before, after, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
        self.blocks = channels_last(nn.Sequential(*layers))
        pixels = math.prod(size >> len(widths) for size in self.in_shape[1:])
        self.head = mlp_expert(widths[-1] * pixels, hidden, out_features, dropout)

    def forward(self, features: Tensor) -> Tensor:
        answers: Tensor = self.head(self.blocks(as_images(features, self.in_shape)))
        return answers


def conv_expert_list(
    num_experts: int,
    in_features: int,
    in_shape: Sequence[int],
    channels: int | Sequence[int],
    hidden: int | list[int],
    out_features: int,
    dropout: float = 0.0,
) -> ExpertList:
    """E separate `ConvExpert`s.

    A loop, not one grouped convolution: that needs equal numbers of images, and even with them it
    takes longer (2 of 8 experts, 128 images, forward and backward, one CPU thread: 31 ms against
    20 for 8 and 16 channels on 1x28x28, 90 against 43 for 16 and 32 on 3x32x32).
    """
    check_images(in_features, in_shape)
    experts = [
        ConvExpert(in_shape, channels, hidden, out_features, dropout) for _ in range(num_experts)
    ]
    return ExpertList(experts, out_features, in_features)


def channels_last(blocks: nn.Sequential) -> nn.Sequential:
    """The same blocks, with weights laid out like `as_images`."""
    # Forward and backward take 0.6 to 0.8 times as long in this layout (three sizes, with and
    # without norm, one CPU thread).
    return blocks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def as_images(features: Tensor, in_shape: Sequence[int]) -> Tensor:
    """Rows of pixels as images again, channels last in memory. [n, D] -> [n, *in_shape]"""
    images = features.flatten(1).unflatten(1, tuple(in_shape))
    return images.contiguous(memory_format=torch.channels_last)


def check_images(in_features: int, in_shape: Sequence[int]) -> None:
    """Refuse features that are not the pixels of an image."""
    if len(in_shape) != 3 or math.prod(in_shape) != in_features:
        raise ValueError(
            "convolutional experts need the pixels of an image: expert.in_features must be channels"
            f" x height x width of expert.in_shape = {list(in_shape)}, got {in_features}; use "
            "backbone=flatten"
        )


def block_widths(channels: int | Sequence[int], in_shape: Sequence[int]) -> list[int]:
    """The channels of each block, one or several, each of which halves the image."""
    widths = [channels] if isinstance(channels, int) else list(channels)
    check_positive(**{f"channels[{index}]": width for index, width in enumerate(widths)})
    height, width = in_shape[1:]
    most = min(height, width).bit_length() - 1
    if not 1 <= len(widths) <= most:
        raise ValueError(
            f"expert.channels must name 1..{most} blocks for {height}x{width} images, since each "
            f"halves them; got {widths}"
        )
    return widths
