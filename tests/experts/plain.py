"""One expert of each stacked kind, written with torch's own layers and holding given weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.experts import (
    AttentionExperts,
    DeepExperts,
    ExpertBank,
    ExpertList,
    ResidualExperts,
    SwiGLUExperts,
)
from tests.experts.reference import linears, stacked

D, C = 6, 10


def norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, elementwise_affine=False)


class Deep(nn.Module):
    """Widths 6 -> 8 -> 8 -> 5: a projection, an identity, a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 5), nn.Linear(8, 5)]
        )
        self.head = nn.Linear(5, C)

    def forward(self, features: Tensor) -> Tensor:
        first, skip, second, third, last_skip = self.layers
        x = features.flatten(1)
        x = norm(8)(first(x)).relu() + skip(x)
        x = norm(8)(second(x)).relu() + x
        x = norm(5)(third(x)).relu() + last_skip(x)
        answers: Tensor = self.head(x)
        return answers


class Residual(nn.Module):
    """Two blocks of width 8."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(D, 8)
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
        self.head = nn.Linear(8, C)

    def forward(self, features: Tensor) -> Tensor:
        x = norm(8)(self.stem(features.flatten(1))).relu()
        for block in (0, 2):
            inner = norm(8)(self.blocks[block](x)).relu()
            x = (x + norm(8)(self.blocks[block + 1](inner))).relu()
        answers: Tensor = self.head(x)
        return answers


class Attention(nn.Module):
    """A hidden vector of 8 in 4 pieces of 2, through torch's own attention."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(D, 8)
        self.queries, self.keys, self.values = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.write, self.widen, self.head = nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(16, C)

    def forward(self, features: Tensor) -> Tensor:
        x = norm(8)(self.stem(features.flatten(1))).relu()
        read = [layer(x).view(-1, 4, 2) for layer in (self.queries, self.keys, self.values)]
        mixed = functional.scaled_dot_product_attention(*read).reshape(-1, 8)
        x = norm(8)(x + self.write(mixed))
        answers: Tensor = self.head(self.widen(x).relu())
        return answers


class SwiGLU(nn.Module):
    """A gated layer of 8."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.value, self.head = nn.Linear(D, 8), nn.Linear(D, 8), nn.Linear(8, C)

    def forward(self, features: Tensor) -> Tensor:
        x = features.flatten(1)
        gate = self.gate(x)
        answers: Tensor = self.head(gate * gate.sigmoid() * self.value(x))
        return answers


def build(kind: str, num_experts: int) -> ExpertBank:
    """The stacked bank whose experts the classes above are."""
    if kind == "deep":
        return DeepExperts(num_experts, D, [8, 8, 5], C)
    if kind == "residual":
        return ResidualExperts(num_experts, D, 8, C, num_blocks=2)
    if kind == "attention":
        return AttentionExperts(num_experts, D, 8, C, num_heads=4)
    return SwiGLUExperts(num_experts, D, 8, C)


PLAIN = {"deep": Deep, "residual": Residual, "attention": Attention, "swiglu": SwiGLU}
# How many of the plain layers lie side by side in each stacked one.
SIDE_BY_SIDE = {
    "deep": (2, 1, 2, 1),
    "residual": (1, 1, 1, 1, 1, 1),
    "attention": (1, 3, 1, 1, 1),
    "swiglu": (2, 1),
}


def pieces(kind: str, bank: ExpertBank, gradient: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight [E, in, out] and bias [E, out] of each plain layer, or their gradients."""
    for layer, count in zip(stacked(bank), SIDE_BY_SIDE[kind], strict=True):
        weight, bias = layer.weight, layer.bias
        assert bias is not None
        if gradient:
            assert weight.grad is not None
            assert bias.grad is not None
            weight, bias = weight.grad, bias.grad
        yield from zip(weight.chunk(count, 2), bias.chunk(count, 1), strict=True)


def separate(kind: str, bank: ExpertBank) -> ExpertList:
    """The bank's experts as float32 modules with copied weights."""
    experts = [PLAIN[kind]() for _ in range(bank.num_experts)]
    with torch.no_grad():
        for place, (weight, bias) in enumerate(pieces(kind, bank)):
            for expert, own, own_bias in zip(experts, weight, bias, strict=True):
                linears(expert)[place].weight.copy_(own.t())
                linears(expert)[place].bias.copy_(own_bias)
    return ExpertList(experts, C, D)
