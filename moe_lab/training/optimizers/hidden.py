"""Which weights of a model Muon is for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from moe_lab.errors import ConfigError
from moe_lab.models.layers.conv_experts import ConvExperts
from moe_lab.networks.stacked import StackedLinear
from moe_lab.routers import ExpertOutputRouter, Router
from moe_lab.training.optimizers.muon import Muon


@dataclass(frozen=True)
class HiddenMuon:
    """Muon for the weight matrices and kernels inside a network, of each expert by itself; AdamW
    for routers, the convolution that reads the image, what gives class scores, embeddings, biases
    and scales, none of which is a map between hidden activations.
    """

    in_shape: Sequence[int]  # channels, height, width
    num_classes: int
    lr: float = 0.02
    adam_lr: float = 0.002
    momentum: float = 0.95
    betas: Sequence[float] = (0.9, 0.999)
    weight_decay: float = 0.01

    def parameter_groups(self, *modules: nn.Module) -> list[dict[str, Any]]:
        """Hidden matrices, other matrices, and all else without weight decay."""
        hidden = {id(w) for m in modules for w in hidden_matrices(m, self.in_shape[0])}
        matrices: list[Tensor] = []
        decayed: list[Tensor] = []
        free: list[Tensor] = []
        for name, weight in (named for module in modules for named in module.named_parameters()):
            if weight.requires_grad:
                is_matrix = weight.ndim >= 2 and not name.endswith("bias")
                inside = id(weight) in hidden and self.num_classes not in sides(weight)
                (matrices if inside else decayed if is_matrix else free).append(weight)
        if not matrices:
            raise ConfigError(
                "optimizer=muon is for matrices between hidden layers, and none learns here",
                todo="use optimizer=adamw",
            )
        adam = {"orthogonal": False, "lr": self.adam_lr}
        groups: list[dict[str, Any]] = [
            {"params": matrices, "orthogonal": True},
            {"params": decayed, **adam},
            {"params": free, **adam, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def __call__(self, groups: list[dict[str, Any]]) -> Muon:
        return Muon(
            groups,
            lr=self.lr,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            betas=(self.betas[0], self.betas[1]),
        )


def hidden_matrices(module: nn.Module, in_channels: int) -> Iterator[Tensor]:
    """The weights of linear and convolutional layers, but for routers and the first convolution."""
    if isinstance(module, Router | ExpertOutputRouter):
        return
    if isinstance(module, nn.Linear | StackedLinear):
        yield module.weight
    elif isinstance(module, ConvExperts):
        yield module.kernels
    elif isinstance(module, nn.Conv2d) and module.groups == 1 and module.in_channels != in_channels:
        yield module.weight
    for child in module.children():
        yield from hidden_matrices(child, in_channels)


def sides(weight: Tensor) -> tuple[int, int]:
    """Features on both sides of a matrix, or of each matrix of a stack."""
    first = 1 if weight.ndim in (3, 5) else 0
    return weight.shape[first], weight.shape[first + 1]
