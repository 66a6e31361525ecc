"""A gate that predicts each expert's log-likelihood (the "loss gate" that accompanies
Krishnamurthy, Watkins & Gärtner 2023, arXiv 2302.14703).
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum
from moe_lab.routers.gates import Gate
from moe_lab.routers.top_k import check_top_k, keep_top_k, sum_to_one


@final
class LossPredictingRouter(Router):
    """logits = predicted log-likelihood of each expert; weights = softmax(logits) of the top_k
    largest over their sum, [B, E].

    With top_k=1 the expert with the best forecast is used alone, with weight 1. A loss term
    regresses `logits` on the experts' true log-likelihoods. Deviation: the task reaches the gate
    too, through a divisor that counts as a constant in the backward pass, so that the gate also
    learns where that term has weight 0.
    """

    row_sum: RowSum = "one"

    def __init__(self, gate: Gate, top_k: int = 1) -> None:
        super().__init__()
        check_top_k(top_k, gate.num_experts)
        self.gate = gate
        self.num_experts = gate.num_experts
        self.top_k = top_k

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        # With a uniform prior over experts, the softmax of log-likelihoods is the posterior.
        probs = logits.softmax(-1)
        weights = sum_to_one(keep_top_k(probs, self.top_k, normalize=False))
        return Routing(logits=logits, probs=probs, weights=weights)
