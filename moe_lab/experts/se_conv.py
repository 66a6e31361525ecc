"""Residual convolutional experts with squeeze-and-excitation (Hu, Shen & Sun 2018, equations 2 to
4).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import final

from torch import Tensor, nn
from torch.nn import functional

from moe_lab.experts.conv import check_images
from moe_lab.experts.expert_list import ExpertList
from moe_lab.networks.conv_net import as_images, block_widths, channels_last
from moe_lab.networks.perceptron import check_positive, perceptron
from moe_lab.networks.squeeze_excitation import SqueezeExcitation


@final
class SEConvBlock(nn.Module):
    """pool(relu(P x + se(norm(conv x)))), P a 1x1 convolution. [n, in, h, w] -> [n, out, h/2, w/2]

    The norm is over all channels and pixels of one image, not over the batch: see
    `moe_lab.experts.bank.normalise`.
    """

    def __init__(self, before: int, after: int, reduction: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1)
        self.norm = nn.GroupNorm(1, after)  # one group: layer norm with a gain per channel
        # silu, not the paper's ReLU: all of a few ReLU units are often dead from the start, and the
        # gates then never move.
        self.gate = SqueezeExcitation(after, reduction, "silu")
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, images: Tensor) -> Tensor:
        residual = self.gate(self.norm(self.conv(images)))
        return functional.max_pool2d((self.skip(images) + residual).relu(), 2)


@final
class SEConvExpert(nn.Module):
    """Squeeze-and-excitation blocks, the mean over pixels, then a perceptron. [n, D] -> [n, out]"""

    def __init__(
        self,
        in_shape: Sequence[int],
        channels: int | Sequence[int],
        hidden: int | list[int],
        out_features: int,
        reduction: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_positive(reduction=reduction)
        self.in_shape = tuple(in_shape)
        widths = block_widths(channels, self.in_shape)
        blocks = [SEConvBlock(*pair, reduction) for pair in pairwise([self.in_shape[0], *widths])]
        self.blocks = channels_last(nn.Sequential(*blocks))
        self.head = perceptron(widths[-1], hidden, out_features, dropout)

    def forward(self, features: Tensor) -> Tensor:
        images = self.blocks(as_images(features, self.in_shape))
        # The mean over pixels, so that the head does not grow with the size of the images.
        outputs: Tensor = self.head(images.mean((2, 3)))
        return outputs


def se_conv_expert_list(
    num_experts: int,
    in_features: int,
    in_shape: Sequence[int],
    channels: int | Sequence[int],
    hidden: int | list[int],
    out_features: int,
    reduction: int = 4,
    dropout: float = 0.0,
) -> ExpertList:
    """E separate `SEConvExpert`s, in a loop for the reason that `ConvNetExperts` gives."""
    check_images(in_features, in_shape)
    experts = [
        SEConvExpert(in_shape, channels, hidden, out_features, reduction, dropout)
        for _ in range(num_experts)
    ]
    return ExpertList(experts, out_features, in_features)
