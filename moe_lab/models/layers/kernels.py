"""Convolutions whose kernels are mixed (CondConv, Yang et al. 2019, arXiv 1904.04971)."""

from __future__ import annotations

from typing import cast, final

import torch
from torch import Tensor
from torch.nn import functional

from moe_lab.dispatch import shapes_are_fixed
from moe_lab.models.layers.conv_experts import ConvExperts
from moe_lab.models.layers.routed_layer import Routed, RoutedLayer
from moe_lab.outputs import Routing


@final
class MixedKernels(RoutedLayer):
    """relu of one convolution per image, whose kernel is the weighted sum of the experts' kernels.
    maps [B, D, h, w], features of the router [B, D] -> [B, D, h, w]

    Costs one convolution whatever the number of experts, and the mixing of all kernels, which a
    sparse router does not make cheaper. The paper's router is a sigmoid; here it is any.
    """

    skips_unused = False

    def forward(self, maps: Tensor, features: Tensor) -> Routed:
        routing: Routing = self.router(features)
        experts = cast(ConvExperts, self.experts)
        weights = routing.weights  # [B, E]
        if shapes_are_fixed():  # a recorded convolution has a fixed number of groups
            outputs = self._mixed_outputs(maps, weights)
            return Routed(outputs, routing, routing)
        # A sum of kernels equals the sum of outputs as long as no nonlinearity lies between, and
        # takes one convolution instead of E. [B, D, D, k, k]
        kernels = (weights @ experts.kernels.flatten(1)).unflatten(1, experts.kernels.shape[1:])
        bias = weights @ experts.bias  # [B, D]
        # Each image is a group of one wide picture, so that it meets its own kernel only.
        wide = maps.flatten(0, 1).unsqueeze(0)  # [1, B * D, h, w]
        mixed: Tensor = functional.conv2d(
            wide, kernels.flatten(0, 1), bias.flatten(), padding=experts.padding, groups=len(maps)
        )
        outputs = torch.relu(mixed).view(maps.shape)
        return Routed(outputs, routing, routing)

    def _mixed_outputs(self, maps: Tensor, weights: Tensor) -> Tensor:
        """The same with the outputs of all convolutions mixed instead of their kernels."""
        experts = cast(ConvExperts, self.experts)
        kernels, bias = experts.kernels.flatten(0, 1), experts.bias.flatten()
        every = functional.conv2d(maps, kernels, bias, padding=experts.padding)
        by_expert = every.unflatten(1, (experts.num_experts, -1))  # [B, E, D, h, w]
        return torch.einsum("be,bedhw->bdhw", weights, by_expert).relu()
