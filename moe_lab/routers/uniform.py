"""A control: the plain average of all experts, an ensemble without routing."""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum


@final
class UniformRouter(Router):
    """weights = probs = 1 / E for every expert and image; logits 0, [B, E]. No parameters."""

    row_sum: RowSum = "one"

    def __init__(self, num_experts: int) -> None:
        super().__init__()
        if num_experts < 1:
            raise ValueError(f"num_experts must be at least 1, got {num_experts}")
        self.num_experts = num_experts

    def route(self, features: Tensor) -> Routing:
        logits = features.new_zeros(features.shape[0], self.num_experts)
        weights = logits.softmax(-1)
        return Routing(logits=logits, probs=weights, weights=weights)
