"""Gates: the small networks inside a router that score each expert, features [B, ...] -> [B, E]."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.networks import ConvNet, Headed
from moe_lab.networks.conv_net import is_image


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
        # an untrained gate then sends most images to two or three experts.
        scores: Tensor = self.scores(self.hidden(features.flatten(1)).tanh())
        return scores


@final
class ConvGate(Gate):
    """A `ConvNet`, the same network as expert=conv: images, flat or not -> [B, E]."""

    def __init__(
        self,
        in_shape: Sequence[int],
        in_features: int,
        num_experts: int,
        channels: int | Sequence[int] = 4,
        hidden: int | Sequence[int] = 32,
        padding: int = 1,
        batch_norm: int = 0,
        dropout: float = 0.0,
        init_std: float = 0.02,
        bfloat16: bool = False,
    ) -> None:
        super().__init__()
        check_gate_sizes(num_experts, init_std)
        check_pixels("conv", in_features, in_shape)
        self.num_experts = num_experts
        self.network = ConvNet(
            in_shape, channels, hidden, num_experts, padding, batch_norm, dropout
        )
        start_evenly(self.network, in_shape, init_std)
        self.in_bfloat16 = bfloat16

    def forward(self, features: Tensor) -> Tensor:
        return scores_of(self.network, features, self.in_bfloat16)


@final
class NetworkGate(Gate):
    """A backbone of its own on raw pixels, and a linear layer: images, flat or not -> [B, E]."""

    def __init__(
        self,
        network: nn.Module,
        in_shape: Sequence[int],
        in_features: int,
        num_experts: int,
        hidden: int | Sequence[int] | None = None,
        dropout: float = 0.0,
        init_std: float = 0.02,
        bfloat16: bool = False,
    ) -> None:
        super().__init__()
        check_gate_sizes(num_experts, init_std)
        check_pixels("network", in_features, in_shape)
        self.num_experts = num_experts
        self.network = Headed(network, in_shape, num_experts, hidden, dropout)
        start_evenly(self.network, in_shape, init_std)
        self.in_bfloat16 = bfloat16

    def forward(self, features: Tensor) -> Tensor:
        return scores_of(self.network, features, self.in_bfloat16)


def scores_of(network: ConvNet | Headed, features: Tensor, bfloat16: bool) -> Tensor:
    """The scores of a network, in bfloat16 up to its last layer or as it is. [n, ...] -> [n, E]"""
    # Routers run outside autocast, which for a gate of many convolutions costs more than all the
    # rest: on a CPU with bfloat16 instructions 0.75 against 0.30 s for 256 images of CIFAR-10 and
    # 1.5 million weights, forward and backward. What must not be rounded are the scores, where
    # ties arise, and those come from the last layer.
    if not bfloat16:
        return cast(Tensor, network(features))
    with torch.autocast(features.device.type, torch.bfloat16):
        hidden = network.hidden(features)
    return cast(Tensor, network.head[-1](hidden.float()))


@torch.no_grad()
def start_evenly(network: ConvNet | Headed, in_shape: Sequence[int], init_std: float) -> None:
    """Draw the last layer of a gate such that no expert is preferred on most images at first."""
    # The outputs of a ReLU are above 0 for every image, and random weights turn that into one
    # offset per expert that outweighs what differs between images: 10 untrained gates of the
    # default sizes sent 56 % of MNIST to one of 10 experts on average, and 38 % without the
    # direction that images of blocky noise, which vary as pictures do, have in common.
    scores = cast(nn.Linear, network.head[-1])
    nn.init.normal_(scores.weight, std=init_std)
    nn.init.zeros_(scores.bias)
    depth, height, width = in_shape
    small = torch.randn(32, depth, math.ceil(height / 4), math.ceil(width / 4))
    trial = copy.deepcopy(network)  # the noise must leave no trace in batch-norm statistics
    trial.head[-1] = nn.Identity()
    hidden = trial(functional.interpolate(small, size=(height, width)))  # [32, H]
    common = functional.normalize(hidden.mean(0), dim=0)
    scores.weight -= torch.outer(scores.weight @ common, common)


def check_pixels(option: str, in_features: int, in_shape: Sequence[int]) -> None:
    """Refuse features that are not the pixels that a gate reads."""
    if not is_image(in_features, in_shape):
        raise ValueError(
            f"gate={option} reads images of shape {list(in_shape)}, {math.prod(in_shape)} values, "
            f"but the backbone gives {in_features} features: use backbone=flatten or gate=mlp"
        )


def check_gate_sizes(num_experts: int, init_std: float) -> None:
    """Refuse a gate without experts to select, or with all experts tied at the start."""
    if num_experts < 1:
        raise ValueError(f"num_experts must be at least 1, got {num_experts}")
    if init_std <= 0:
        raise ValueError(
            f"gate.init_std must be above 0, got {init_std}: equal scores tie, and every image "
            "would go to the same experts"
        )
