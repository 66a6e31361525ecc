"""Softmax routing: every expert on every image (Jacobs, Jordan, Nowlan & Hinton 1991)."""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum
from moe_lab.routers.gates import Gate
from moe_lab.routers.temperature import Temperature, as_temperature


@final
class SoftmaxRouter(Router):
    """weights = probs = softmax(logits / temperature), [B, E], all non-zero."""

    row_sum: RowSum = "one"

    def __init__(self, gate: Gate, temperature: Temperature | float = 1.0) -> None:
        super().__init__()
        self.gate = gate
        self.num_experts = gate.num_experts
        self.temperature = as_temperature(temperature)

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        probs = (logits / self.temperature()).softmax(-1)
        return Routing(logits=logits, probs=probs, weights=probs)
