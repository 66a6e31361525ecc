"""Softmax routing: every expert on every image (Jacobs, Jordan, Nowlan & Hinton 1991)."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum
from moe_lab.routers.gates import Gate
from moe_lab.routers.temperature import Temperature, as_temperature


@final
class SoftmaxRouter(Router):
    """weights = probs = softmax(logits / temperature + noise), [B, E], all non-zero.

    The noise is Gaussian, with a standard deviation of `noise_std` and in training only.
    """

    row_sum: RowSum = "one"

    def __init__(
        self, gate: Gate, temperature: Temperature | float = 1.0, noise_std: float = 0.0
    ) -> None:
        super().__init__()
        if noise_std < 0:
            raise ValueError(f"router.noise_std must be at least 0, got {noise_std}")
        self.gate = gate
        self.num_experts = gate.num_experts
        self.temperature = as_temperature(temperature)
        self.noise_std = noise_std

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        scores = logits / self.temperature()
        if self.training and self.noise_std:
            # After the temperature, so that noise_std means the same whatever it is.
            scores = scores + self.noise_std * torch.randn_like(scores)
        probs = scores.softmax(-1)
        return Routing(logits=logits, probs=probs, weights=probs)
