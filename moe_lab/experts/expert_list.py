"""Experts as plain modules in a loop: the readable reference that every faster bank must equal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from moe_lab.dispatch import Plan
from moe_lab.experts.bank import ExpertBank
from moe_lab.networks import perceptron


@final
class ExpertList(ExpertBank):
    """Modules of any kinds, each called on its own images only. [B, ...] -> [N, out]"""

    def __init__(
        self, experts: Sequence[nn.Module], out_features: int, in_features: int | None = None
    ) -> None:
        # What different modules read need not have one width: 1 stands for "not known".
        super().__init__(len(experts), in_features or 1, out_features)
        self.experts = nn.ModuleList(experts)

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        return apply_in_turn(self, self.experts, features, plan)

    def parameters_per_expert(self) -> list[int]:
        return [sum(own.numel() for own in expert.parameters()) for expert in self.experts]


def apply_in_turn(
    bank: ExpertBank, experts: Iterable[nn.Module], features: Tensor, plan: Plan
) -> Tensor:
    """Each expert of a bank on its own images. [B, ...] -> [N, out]"""
    images = plan.gather(features).split(plan.counts)
    pairs = zip(experts, images, strict=True)
    # An expert without images is not called: batch norm fails on an empty batch.
    outputs = [apply_expert(expert, own) for expert, own in pairs if own.shape[0] > 0]
    if not outputs:
        # Empty, but a function of all parameters: they get zero gradients instead of none, on which
        # a backward pass would fail.
        total = sum(parameter.sum() for parameter in bank.parameters())
        return total * features.new_zeros(0, bank.out_features)
    return torch.cat(outputs)


def apply_expert(expert: nn.Module, images: Tensor) -> Tensor:
    """One expert on its images, [n, ...] -> [n, out]; for n = 1 batch norm takes its running
    statistics.
    """
    # The statistics of one image say nothing about others, and where its maps have shrunk to one
    # pixel they do not exist. A sparse router sends single images to experts all the time.
    alone = expert.training and len(images) == 1
    norms = [layer for layer in expert.modules() if isinstance(layer, _BatchNorm)] if alone else []
    training = [norm for norm in norms if norm.training]
    for norm in training:
        norm.eval()
    outputs: Tensor = expert(images)
    for norm in training:
        norm.train()
    return outputs


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
        perceptron(in_features, hidden, out_features, dropout, activation)
        for _ in range(num_experts)
    ]
    return ExpertList(experts, out_features, in_features)
