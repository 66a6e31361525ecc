"""The loop of plain modules that every bank is compared with, holding the bank's own weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moe_lab.dispatch import StackedLinear
from moe_lab.experts import ExpertList, MLPExperts, mlp_expert_list


def routing(rows: int, num_experts: int, k: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The k largest of a random softmax, zero elsewhere. [B, E]"""
    probs = torch.randn(rows, num_experts).softmax(1)
    top = probs.topk(k, dim=1)
    return torch.zeros_like(probs).scatter_(1, top.indices, top.values).to(dtype)


def as_list(bank: MLPExperts, activation: str = "relu") -> ExpertList:
    """The same experts as separate modules with copied weights."""
    layers = stacked(bank)
    hidden = [layer.out_features for layer in layers[:-1]]
    separate = mlp_expert_list(
        bank.num_experts, bank.in_features, hidden, bank.out_features, activation=activation
    ).to(layers[0].weight.dtype)
    with torch.no_grad():
        for index, expert in enumerate(separate.experts):
            for linear, layer in zip(linears(expert), layers, strict=True):
                assert layer.bias is not None
                linear.weight.copy_(layer.weight[index].t())
                linear.bias.copy_(layer.bias[index])
    return separate


def stacked(bank: MLPExperts) -> list[StackedLinear]:
    return [layer for layer in bank.modules() if isinstance(layer, StackedLinear)]


def linears(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def stacked_gradients(separate: ExpertList) -> list[Tensor]:
    """Gradients of the separate modules, laid out like the bank's parameters."""
    experts = [linears(expert) for expert in separate.experts]
    gradients = []
    for layer in zip(*experts, strict=True):
        gradients.append(torch.stack([_gradient(linear.weight).t() for linear in layer]))
        gradients.append(torch.stack([_gradient(linear.bias) for linear in layer]))
    return gradients


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
