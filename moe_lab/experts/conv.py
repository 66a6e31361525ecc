"""Small convolutional networks as experts, each on its own images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.dispatch import Plan
from moe_lab.experts.bank import ExpertBank
from moe_lab.experts.expert_list import apply_in_turn
from moe_lab.networks import ConvNet
from moe_lab.networks.conv_net import as_images, is_image


@final
class ConvNetExperts(ExpertBank):
    """E separate `ConvNet`s. [B, ...] -> [N, out]

    A loop, not one grouped convolution, which needs equal numbers of images, and even with them
    takes longer (2 of 8 experts, 128 images, forward and backward, one CPU thread: 31 ms against
    20 for 8 and 16 channels on 1x28x28, 90 against 43 for 16 and 32 on 3x32x32).
    """

    def __init__(
        self,
        num_experts: int,
        in_features: int,
        in_shape: Sequence[int],
        channels: int | Sequence[int],
        hidden: int | Sequence[int],
        out_features: int,
        padding: int = 1,
        batch_norm: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_experts, in_features, out_features)
        check_images(in_features, in_shape)
        nets = [
            ConvNet(in_shape, channels, hidden, out_features, padding, batch_norm, dropout)
            for _ in range(num_experts)
        ]
        self.experts = nn.ModuleList(nets)
        # Where every expert sees every image, one wide first convolution takes 0.4 to 0.6 times as
        # long for 1 or 2 channels each, but 1 to 2 times for 4 or 8 (10 experts, 512 images of
        # 1x28x28, forward and backward, one CPU thread). Not with batch norm, whose statistics each
        # expert keeps itself.
        self.starts_together = batch_norm == 0 and first_width(channels) <= 2

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        if plan.is_dense and self.starts_together:
            return self._all_experts(features)
        return apply_in_turn(self, self.experts, features, plan)

    def _all_experts(self, features: Tensor) -> Tensor:
        """Every expert on every image, the first blocks of all as one. [B, ...] -> [E * B, out]"""
        nets = [cast(ConvNet, expert) for expert in self.experts]
        first = [cast(nn.Conv2d, net.blocks[0]) for net in nets]
        kernels = torch.cat([layer.weight for layer in first])
        biases = torch.cat([cast(Tensor, layer.bias) for layer in first])
        images = as_images(features, nets[0].in_shape)
        maps = functional.conv2d(images, kernels, biases, padding=first[0].padding)
        shared = functional.max_pool2d(maps, 2).relu_().chunk(self.num_experts, 1)
        # The first three layers are the block that has just been computed: convolution, pool, ReLU.
        own = [net.head(net.blocks[3:](maps)) for net, maps in zip(nets, shared, strict=True)]
        return torch.cat(own)

    def parameters_per_expert(self) -> list[int]:
        return [sum(own.numel() for own in expert.parameters()) for expert in self.experts]


def first_width(channels: int | Sequence[int]) -> int:
    """The channels of the first block."""
    return channels if isinstance(channels, int) else channels[0]


def check_images(in_features: int, in_shape: Sequence[int]) -> None:
    """Refuse features that are not the pixels of an image."""
    if not is_image(in_features, in_shape):
        raise ValueError(
            "these experts need the pixels of an image: expert.in_features must be channels"
            f" x height x width of expert.in_shape = {list(in_shape)}, got {in_features}; use "
            "backbone=flatten"
        )
