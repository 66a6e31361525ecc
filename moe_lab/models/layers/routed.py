"""The contract of a mixture inside a network."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

from torch import Tensor, nn

from moe_lab.experts import ExpertBank
from moe_lab.outputs import LayeredOutput, Routing
from moe_lab.routers import AnswerRouter, Router


@dataclass(frozen=True)
class Routed:
    """What a layer gives for a batch, and who gave it. Fields as in `LayeredOutput`."""

    answers: Tensor  # [B, ...] what the network goes on with
    layer: Routing  # [B, E]
    decisions: Routing  # [B, E] or [B * tokens, E]
    used: Tensor | None = None  # [B, E]
    dropped: Tensor | None = None  # [B, E]


class RoutedLayer(nn.Module, ABC):
    """A router and a bank of experts in the place of a network's layer: [B, ...] -> Routed."""

    # False where a layer computes the same whichever experts its router wants.
    skips_unused: bool = True

    def __init__(self, router: Router, experts: ExpertBank) -> None:
        super().__init__()
        if isinstance(router, AnswerRouter):
            raise ValueError(
                f"router={type(router).__name__} decides from the experts' answers to the whole "
                "question, which experts inside a network do not give: use router=top_k"
            )
        if router.num_experts != experts.num_experts:
            raise ValueError(
                f"the router chooses among {router.num_experts} experts, the bank holds "
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
