"""What routers and banks of experts did with a batch, for those who check them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from moe_lab.dispatch import Plan
from moe_lab.experts import SharedExperts
from moe_lab.models.layers.routed_layer import RoutedLayer
from moe_lab.outputs import LayeredOutput, MixtureOutput, Output, Routing
from moe_lab.routers.base import RowSum

Call = tuple[Tensor, Plan]  # what a bank of experts was asked


@torch.inference_mode()
def bank_calls(
    model: nn.Module, layers: Mapping[str, RoutedLayer], images: Tensor
) -> tuple[LayeredOutput, dict[str, Call]]:
    """The output of a model, and what the bank of each layer was asked meanwhile."""
    calls: dict[str, Call] = {}
    handles = []
    for name, layer in layers.items():

        def keep(bank: nn.Module, asked: Any, name: str = name) -> None:
            calls[name] = asked

        handles.append(layer.experts.register_forward_pre_hook(keep))
    try:
        output = model(images)
    finally:
        for handle in handles:
            handle.remove()
    assert isinstance(output, LayeredOutput)
    return output, calls


def asked_pairs(plan: Plan) -> Tensor:
    """Which expert is asked about which row of a plan, bool [B, E]."""
    used = torch.zeros(plan.num_rows, plan.num_experts, device=plan.row.device)
    used[plan.row, plan.expert] = 1
    return used > 0


def owed_flops(bank: nn.Module, features: Tensor, used: Tensor) -> float:
    """The FLOPs of each expert on its own images, and of what all share on each image once."""
    if isinstance(bank, SharedExperts):
        asked = features[used.any(-1)]
        everyone = Plan.every(len(asked), bank.shared.num_experts, features.device)
        routed = owed_flops(bank.routed, features, used)
        return routed + flops(bank.shared, asked, everyone)
    owed = 0.0
    for expert in range(used.shape[-1]):
        rows = used[:, expert].nonzero().flatten()
        if len(rows):
            alone = torch.zeros(len(rows), used.shape[-1], device=features.device)
            alone[:, expert] = 1
            owed += flops(bank, features[rows], Plan.from_weights(alone))
    return owed


def flops(bank: nn.Module, features: Tensor, plan: Plan) -> float:
    """Counted floating-point operations of one pass through a bank."""
    with FlopCounterMode(display=False) as counter:
        bank(features, plan)
    return float(counter.get_total_flops())


def idle_experts(num_experts: int, seen: dict[str, Tensor]) -> list[str]:
    """Slices of stacked parameters that no gradient reached."""
    idle = []
    for name, size in seen.items():
        stacked = ".experts." in f".{name}" and size.ndim >= 2
        if stacked and size.shape[0] == num_experts > 1:
            reached = size.flatten(1).sum(1) > 0
            idle += [f"expert {i} ({name})" for i in (~reached).nonzero().flatten().tolist()]
    return idle


def decisions(output: Output) -> Mapping[str, Routing]:
    """What each router decided, before any capacity."""
    if isinstance(output, LayeredOutput):
        return output.decisions
    assert isinstance(output, MixtureOutput)
    return {"router": output.routing}


def broken_promise(routing: Routing, promise: RowSum) -> float | None:
    """How far a row of weights is from what its router says; None where it keeps to it."""
    total = routing.weights.sum(-1)
    off = float((total - 1).abs().max()) if promise == "one" else float((total - 1).max())
    if bool((routing.weights < 0).any()):
        return float(-routing.weights.min())
    return off if promise != "free" and off > 1e-4 else None
