"""Experts as plain modules in a loop: the readable reference that every faster bank must equal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from moe_lab.dispatch.plan import Plan
from moe_lab.experts.bank import (
    ExpertBank,
    activation_module,
    check_dropout,
    check_positive,
    hidden_widths,
)


@final
class ExpertList(ExpertBank):
    """Any modules, alike or not, each called on its own images only. [B, ...] -> [N, out]"""

    def __init__(
        self, experts: Sequence[nn.Module], out_features: int, in_features: int | None = None
    ) -> None:
        super().__init__(len(experts), in_features or 1, out_features)
        self.experts = nn.ModuleList(experts)

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        images = plan.gather(features).split(plan.counts)
        called = [
            expert(own) for expert, own in zip(self.experts, images, strict=True) if len(own) > 0
        ]
        if not called:  # no answers, but of all parameters, so that a backward pass finds its way
            total = sum(parameter.sum() for parameter in self.parameters())
            return total * features.new_zeros(0, self.out_features)
        answers = torch.cat(called)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # DistributedDataParallel waits for a gradient of every parameter, idle ones included.
            answers = answers + 0.0 * sum(parameter.sum() for parameter in self.parameters())
        return answers

    def parameters_per_expert(self) -> list[int]:
        return [sum(own.numel() for own in expert.parameters()) for expert in self.experts]


def mlp_expert(
    in_features: int,
    hidden: int | list[int],
    out_features: int,
    dropout: float = 0.0,
    activation: str = "relu",
) -> nn.Sequential:
    """One perceptron, written with torch's own layers. [n, ...] -> [n, out]"""
    check_positive(in_features=in_features, out_features=out_features)
    check_dropout(dropout)
    widths = [in_features, *hidden_widths(hidden)]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation_module(activation), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], out_features))


def mlp_expert_list(
    num_experts: int,
    in_features: int,
    hidden: int | list[int],
    out_features: int,
    dropout: float = 0.0,
    activation: str = "relu",
) -> ExpertList:
    """E separate perceptrons, with the arguments of `MLPExperts`."""
    experts = [
        mlp_expert(in_features, hidden, out_features, dropout, activation)
        for _ in range(num_experts)
    ]
    return ExpertList(experts, out_features, in_features)
