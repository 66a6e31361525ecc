"""Gates: the small networks inside a router that score each expert, features [B, ...] -> [B, E]."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

from torch import Tensor, nn


class Gate(nn.Module, ABC):
    """Scores each expert for each image: features [B, ...] -> [B, E]."""

    num_experts: int

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Features [B, ...] -> scores [B, E]."""


@final
class LinearGate(Gate):
    """One linear layer: [B, D] -> [B, E].

    The weights start small but never at zero: with equal scores, top-k sends every image to the
    same experts, and those are the only ones that ever learn.
    """

    def __init__(
        self, in_features: int, num_experts: int, init_std: float = 0.02, bias: bool = False
    ) -> None:
        super().__init__()
        check_gate_sizes(num_experts, init_std)
        self.num_experts = num_experts
        self.linear = nn.Linear(in_features, num_experts, bias=bias)
        nn.init.normal_(self.linear.weight, std=init_std)
        if bias:
            nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(features.flatten(1))
        return scores


@final
class MLPGate(Gate):
    """A hidden layer before the scores: [B, D] -> [B, H] -> [B, E]."""

    def __init__(
        self, in_features: int, hidden: int, num_experts: int, init_std: float = 0.02
    ) -> None:
        super().__init__()
        check_gate_sizes(num_experts, init_std)
        if hidden < 1:
            raise ValueError(f"gate.hidden must be at least 1, got {hidden}")
        self.num_experts = num_experts
        self.hidden = nn.Linear(in_features, hidden)
        self.scores = nn.Linear(hidden, num_experts, bias=False)
        nn.init.normal_(self.scores.weight, std=init_std)

    def forward(self, features: Tensor) -> Tensor:
        # tanh, not ReLU: hidden units that are all positive give every image the same offset, and
        # a fresh gate then sends most images to two or three experts.
        scores: Tensor = self.scores(self.hidden(features.flatten(1)).tanh())
        return scores


@final
class ConvGate(Gate):
    """Two strided 3x3 convolutions before the scores: images, flat or not -> [B, E].

    Each convolution halves height and width, so the gate is far cheaper than a convolutional
    backbone.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        in_features: int,
        num_experts: int,
        channels: int = 8,
        init_std: float = 0.02,
    ) -> None:
        super().__init__()
        check_gate_sizes(num_experts, init_std)
        if channels < 1:
            raise ValueError(f"gate.channels must be at least 1, got {channels}")
        if math.prod(in_shape) != in_features:
            raise ValueError(
                f"gate=conv reads images of shape {list(in_shape)}, {math.prod(in_shape)} values, "
                f"but the backbone gives {in_features} features: use backbone=flatten or gate=mlp"
            )
        self.num_experts = num_experts
        self.in_shape = tuple(in_shape)
        depth, height, width = in_shape
        # Without bias, as a fresh gate would give every image the same offset.
        self.first = nn.Conv2d(depth, channels, 3, stride=2, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False)
        places = math.ceil(height / 4) * math.ceil(width / 4)
        self.scores = nn.Linear(channels * places, num_experts, bias=False)
        nn.init.normal_(self.scores.weight, std=init_std)

    def forward(self, features: Tensor) -> Tensor:
        images = features.reshape(-1, *self.in_shape)  # [B, channels, height, width]
        hidden = self.second(self.first(images).tanh()).tanh()  # tanh as in MLPGate
        scores: Tensor = self.scores(hidden.flatten(1))
        return scores


def check_gate_sizes(num_experts: int, init_std: float) -> None:
    """Refuse a gate that has nothing to choose from or starts with all experts tied."""
    if num_experts < 1:
        raise ValueError(f"num_experts must be at least 1, got {num_experts}")
    if init_std <= 0:
        raise ValueError(
            f"gate.init_std must be above 0, got {init_std}: equal scores tie, and every image "
            "would go to the same experts"
        )
