"""A second start for a router that no longer reaches its experts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from moe_lab.routers import ExpertOutputRouter, Router
from moe_lab.training.build import build


def redraw_router(
    model: nn.Module,
    layer: str,
    config: Mapping[str, Any],
    optimizers: Iterable[Optimizer],
    seed: int,
) -> str | None:
    """Draw the router of `layer` again, as `config` describes it; None, or why that cannot be.

    Its running statistics start afresh too, and the optimizers forget what they gathered on it.
    The draw follows from `seed` alone: the same in every process, and without a trace in the
    random numbers of the training.
    """
    router = find_router(model, layer)
    if router is None or "router" not in config:
        return "this model has no router of its own there"
    if not any(parameter.requires_grad for parameter in router.parameters()):
        return "its router does not learn"
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the GPU as well, which is not restored here.
        torch.random.default_generator.manual_seed(seed)
        fresh: nn.Module = build(config["router"])
    router.load_state_dict(fresh.state_dict())
    for optimizer in optimizers:
        for parameter in router.parameters():
            optimizer.state.pop(parameter, None)
    return None


def find_router(model: nn.Module, layer: str) -> nn.Module | None:
    """The only router of a model, or the one at the path that a routing is named after."""
    found = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, Router | ExpertOutputRouter)
    }
    if len(found) == 1:
        return next(iter(found.values()))
    return next((router for path, router in found.items() if f"{layer}." in f"{path}."), None)
