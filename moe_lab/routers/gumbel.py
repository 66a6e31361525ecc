"""Stochastic switching: experts are drawn (Jacobs, Jordan, Nowlan & Hinton 1991), with
straight-through gradients (Jang, Gu & Poole 2017; Maddison, Mnih & Teh 2017).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum
from moe_lab.routers.gates import Gate
from moe_lab.routers.noisy_top_k import score_to_beat
from moe_lab.routers.temperature import Temperature, as_temperature
from moe_lab.routers.top_k import check_top_k, equal_top_k

# exp(-exp(20)) is 0 in float32; beyond, a product of 0 and infinity would make NaN gradients.
LARGEST_MARGIN = 20.0


@final
class GumbelRouter(Router):
    """weights = 1 / top_k at the top_k of logits + Gumbel noise, noise in training only, [B, E].

    Training thus draws top_k experts from probs = softmax(logits) without replacement (Kool, van
    Hoof & Welling 2019). In the backward pass the weights count as softmax((logits + noise) /
    temperature): a low temperature gives gradients with little bias and much variance, a high one
    the reverse. `selection_probs` is the probability that an expert is drawn when its own noise
    alone is redrawn.
    """

    row_sum: RowSum = "one"

    def __init__(self, gate: Gate, top_k: int = 1, temperature: Temperature | float = 1.0) -> None:
        super().__init__()
        check_top_k(top_k, gate.num_experts)
        self.gate = gate
        self.num_experts = gate.num_experts
        self.top_k = top_k
        self.temperature = as_temperature(temperature)

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        scores, selection_probs = logits, None
        if self.training:
            # -log of an exponential variable is Gumbel noise. A uniform variable, from which it is
            # often made, can be exactly 0.
            scores = logits - torch.empty_like(logits).exponential_().log()
            selection_probs = probability_of_draw(logits, scores, self.top_k)
        soft = (scores / self.temperature()).softmax(-1)
        # Straight through: the bracket is exactly 0 and only its gradient counts, so unused experts
        # keep a weight of exactly 0 and are not computed.
        weights = equal_top_k(scores.detach(), self.top_k) + (soft - soft.detach())
        return Routing(logits, logits.softmax(-1), weights, selection_probs)


def probability_of_draw(logits: Tensor, scores: Tensor, top_k: int) -> Tensor:
    """P(an expert is in the top_k when its Gumbel noise alone is redrawn), all [B, E]."""
    if top_k == logits.shape[-1]:
        return torch.ones_like(logits)
    margin = (logits - score_to_beat(scores, top_k)).clamp(max=LARGEST_MARGIN)
    return -torch.expm1(-margin.exp())
