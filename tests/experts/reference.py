"""The loop of plain modules that every bank is compared with, holding the bank's own weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertBank, ExpertList, MLPExperts, mlp_expert_list
from moe_lab.networks.stacked import StackedLinear


def routing(rows: int, num_experts: int, k: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The k largest of a random softmax, zero elsewhere. [B, E]"""
    probs = torch.randn(rows, num_experts).softmax(1)
    top = probs.topk(k, dim=1)
    return torch.zeros_like(probs).scatter_(1, top.indices, top.values).to(dtype)


def weights_of(case: str) -> Tensor:
    """[B, E] for the case; the names say what is special."""
    if case == "nobody":
        return torch.zeros(9, 5)
    if case == "all to one":
        return torch.zeros(9, 5).index_fill_(1, torch.tensor([3]), 0.5)
    if case == "uneven":
        weights = routing(33, 5, 2)
        weights[:7] = 0.0
        weights[:, 1] = 0.0
        return weights
    rows, num_experts, k = {
        "top 1": (33, 5, 1), "top 2": (33, 5, 2), "one row": (1, 5, 2), "dense": (9, 5, 5),
        "one expert": (9, 1, 1),
    }[case]  # fmt: skip
    return routing(rows, num_experts, k)


CASES = ["top 1", "top 2", "uneven", "one row", "all to one", "nobody", "dense", "one expert"]


def run(bank: ExpertBank, features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Output and the gradients of features and routing weights; parameters get theirs too."""
    features, weights = features.clone().requires_grad_(), weights.clone().requires_grad_()
    plan = Plan.from_weights(weights)
    out = plan.combine(bank(features, plan) * plan.weight.unsqueeze(1))
    torch.manual_seed(1)
    out.backward(torch.randn(out.shape).to(out.dtype))
    zeros = torch.zeros_like
    return (
        out.detach(),
        zeros(features) if features.grad is None else features.grad,
        zeros(weights) if weights.grad is None else weights.grad,
    )


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


def stacked(bank: ExpertBank) -> list[StackedLinear]:
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
