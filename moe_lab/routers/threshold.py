"""Threshold routing: a number of experts that depends on the image (after Huang et al. 2024, arXiv
2403.07652, with a rule of our own, relative to the first choice).
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum
from moe_lab.routers.gates import Gate
from moe_lab.routers.temperature import Temperature, as_temperature
from moe_lab.routers.top_k import sum_to_one


@final
class ThresholdRouter(Router):
    """Uses every expert with probs >= threshold * the largest; weights = their probs over their
    sum, [B, E].

    probs = softmax(logits / temperature). Relative to the largest, the rule means the same for
    every number of experts and always keeps the first choice. The divisor counts as a constant in
    the backward pass: an image with one expert left would otherwise have the constant weight 1, and
    the gate would learn nothing from it.
    """

    row_sum: RowSum = "one"

    def __init__(
        self, gate: Gate, threshold: float = 0.5, temperature: Temperature | float = 1.0
    ) -> None:
        super().__init__()
        if not 0 <= threshold <= 1:
            raise ValueError(f"router.threshold must be in 0..1, got {threshold}")
        self.gate = gate
        self.num_experts = gate.num_experts
        self.threshold = threshold
        self.temperature = as_temperature(temperature)

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        probs = (logits / self.temperature()).softmax(-1)
        least = self.threshold * probs.detach().amax(-1, keepdim=True)  # [B, 1]
        weights = sum_to_one(probs * (probs >= least))  # [B, E]
        return Routing(logits=logits, probs=probs, weights=weights)
