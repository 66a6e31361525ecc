"""The contract of a mixture inside a network."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

from torch import Tensor, nn

from moe_lab.experts import ExpertBank
from moe_lab.outputs import LayeredOutput, Routing
from moe_lab.routers import ExpertOutputRouter, Router


@dataclass(frozen=True)
class Routed:
    """The outputs of a routed layer for a batch, and its routing. Fields as in `LayeredOutput`."""

    outputs: Tensor  # [B, ...] what the network goes on with
    layer: Routing  # [B, E] per image
    decisions: Routing  # [B, E] or [B * tokens, E] per decision of the router
    used: Tensor | None = None  # [B, E] tokens an expert processed
    dropped: Tensor | None = None  # [B, E] tokens beyond its capacity


class RoutedLayer(nn.Module, ABC):
    """A router and a bank of experts in the place of a network's layer: [B, ...] -> Routed."""

    # False where a layer computes the same whichever experts its router selects: its parameters are
    # then all active.
    skips_unused: bool = True

    def __init__(self, router: Router, experts: ExpertBank) -> None:
        super().__init__()
        if isinstance(router, ExpertOutputRouter):
            raise ValueError(
                f"router={type(router).__name__} decides from the experts' class predictions, "
                "which experts inside a network do not make: use router=top_k"
            )
        if router.num_experts != experts.num_experts:
            raise ValueError(
                f"the router selects from {router.num_experts} experts, the bank holds "
                f"{experts.num_experts}"
            )
        self.router = router
        self.experts = experts


def as_output(log_probs: Tensor, layers: dict[str, Routed]) -> LayeredOutput:
    """The output of a network with these layers."""
    return LayeredOutput(
        log_probs,
        layers={name: layer.layer for name, layer in layers.items()},
        decisions={name: layer.decisions for name, layer in layers.items()},
        used={name: own.used for name, own in layers.items() if own.used is not None},
        dropped={name: own.dropped for name, own in layers.items() if own.dropped is not None},
    )
