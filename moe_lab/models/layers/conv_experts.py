"""A bank of single convolutions."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.dispatch import Plan
from moe_lab.experts.bank import ExpertBank, equal_share


@final
class ConvExperts(ExpertBank):
    """E experts relu(3x3 convolution), each on its own images. [B, D, h, w] -> [N, D, h, w]

    D are channels here. Without batch norm: an expert may see one image of a batch, or none.
    """

    def __init__(self, num_experts: int, channels: int, kernel_size: int = 3) -> None:
        super().__init__(num_experts, channels, channels)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        shape = (num_experts, channels, channels, kernel_size, kernel_size)
        self.kernels = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(num_experts, channels))
        self.padding = kernel_size // 2
        bound = (channels * kernel_size**2) ** -0.5  # as nn.Conv2d draws each of its own
        for parameter in (self.kernels, self.bias):
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        if plan.is_dense:  # one wide convolution, without E copies of the images
            kernels = self.kernels.flatten(0, 1)
            maps = functional.conv2d(features, kernels, self.bias.flatten(), padding=self.padding)
            by_expert = maps.unflatten(1, (self.num_experts, -1)).transpose(0, 1)  # [E, B, D, h, w]
            return by_expert.flatten(0, 1).relu()
        images = plan.gather(features).split(plan.counts)
        outputs = [
            functional.conv2d(own, kernels, bias, padding=self.padding)
            for own, kernels, bias in zip(images, self.kernels, self.bias, strict=True)
            if len(own) > 0
        ]
        if not outputs:
            # Empty, but a function of all parameters: they get zero gradients instead of none, on
            # which a backward pass would fail.
            return features[:0] * (self.kernels.sum() + self.bias.sum())
        return torch.cat(outputs).relu()

    def parameters_per_expert(self) -> list[int]:
        return equal_share(self)
