"""ReLU routing: each expert is on or off by itself (ReMoE, Wang, Zhu & Chen 2024, arXiv
2412.14711).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum
from moe_lab.routers.gates import Gate


@final
class ReLURouter(Router):
    """weights = relu(logits); an image for which no expert is on gets its first choice, weighted
    with its probability; probs = softmax(logits), [B, E].

    In the paper such an image passes by a residual connection; here there is none, and the gate
    would get no gradient from it. How many experts are used is left to a loss term on `weights`, an
    L1 penalty whose strength is adapted in the paper. `probs` has a gradient for experts that are
    off, too, so that a balance term can switch them on again.
    """

    row_sum: RowSum = "free"

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate
        self.num_experts = gate.num_experts

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        probs = logits.softmax(-1)
        weights = logits.relu()
        # One-hot at the first choice, [B, E]; `where` rather than an index, so that shapes do not
        # depend on the data.
        first = torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
        is_off = (logits <= 0).all(-1, keepdim=True)  # [B, 1]
        weights = torch.where(is_off, probs * first, weights)
        return Routing(logits=logits, probs=probs, weights=weights)
