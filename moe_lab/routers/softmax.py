"""Softmax routing: every expert on every image (Jacobs, Jordan, Nowlan & Hinton 1991)."""

from __future__ import annotations

from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router
from moe_lab.routers.gates import Gate


class SoftmaxRouter(Router):
    """weights = probs = softmax(logits / temperature), [B, E], all non-zero."""

    def __init__(self, gate: Gate, temperature: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"router.temperature must be above 0, got {temperature}")
        self.gate = gate
        self.num_experts = gate.num_experts
        self.temperature = temperature

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        probs = (logits / self.temperature).softmax(-1)
        return Routing(logits=logits, probs=probs, weights=probs)
