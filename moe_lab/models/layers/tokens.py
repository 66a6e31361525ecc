"""A mixture of experts over tokens (Riquelme et al. 2021, V-MoE)."""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertBank
from moe_lab.models.layers.capacity import within_capacity
from moe_lab.models.layers.routed_layer import Routed, RoutedLayer
from moe_lab.outputs import Routing
from moe_lab.routers import Router


@final
class RoutedTokens(RoutedLayer):
    """Each token to the experts that the router selects for it. [B, tokens, D] -> [B, tokens, D]

    A token beyond an expert's capacity gets nothing from it, and exactly 0 where no expert takes
    it: the residual connection around the layer then passes it on unchanged. Without
    `capacity_factor` nothing is dropped.
    """

    def __init__(
        self, router: Router, experts: ExpertBank, capacity_factor: float | None = None
    ) -> None:
        super().__init__(router, experts)
        if experts.in_features != experts.out_features:
            raise ValueError(
                "experts on tokens return as many features as they read: out_features must be "
                f"{experts.in_features}, got {experts.out_features}"
            )
        if capacity_factor is not None and capacity_factor <= 0:
            raise ValueError(f"model.capacity_factor must be above 0, got {capacity_factor}")
        self.capacity_factor = capacity_factor

    def forward(self, tokens: Tensor) -> Routed:
        shape = tokens.shape[:2]
        rows = tokens.flatten(0, 1)  # [B * tokens, D]
        decisions: Routing = self.router(rows)
        weights = decisions.weights.unflatten(0, shape)  # [B, tokens, E]
        wanted = weights != 0
        kept = wanted
        if self.capacity_factor is not None:
            kept = within_capacity(weights, self.capacity_factor)  # [B, tokens, E]
            # Not renormalised: what one expert contributes must not depend on how full another is.
            weights = weights * kept
        plan = Plan.from_weights(weights.flatten(0, 1))
        outputs = plan.mix(self.experts(rows, plan)).unflatten(0, shape)
        probs, logits = (own.unflatten(0, shape) for own in (decisions.probs, decisions.logits))
        # Two views of one routing: per image what was computed, per token what the router decided.
        # Balance terms read the latter: after drops every load looks balanced.
        layer = Routing(logits.mean(1), probs.mean(1), weights.mean(1))
        return Routed(outputs, layer, decisions, kept.sum(1), (wanted & ~kept).sum(1))
