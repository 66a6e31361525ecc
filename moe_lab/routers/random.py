"""A control: experts drawn at random in training (after THOR, Zuo et al. 2022)."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum
from moe_lab.routers.hash import random_projection
from moe_lab.routers.top_k import check_top_k, equal_top_k


@final
class RandomRouter(Router):
    """weights = probs = 1 / top_k at top_k experts, drawn uniformly in training, the largest of
    features @ projection in evaluation, [B, D] -> [B, E].

    Predictions of a trained model must not be random, so a fixed random projection selects there.
    Every expert has then been trained on every kind of image: specialisation is impossible. No
    parameters.
    """

    row_sum: RowSum = "one"
    projection: Tensor  # [D, E]

    def __init__(self, in_features: int, num_experts: int, top_k: int = 1) -> None:
        super().__init__()
        check_top_k(top_k, num_experts)
        self.num_experts = num_experts
        self.top_k = top_k
        self.register_buffer("projection", random_projection(in_features, num_experts))

    def route(self, features: Tensor) -> Routing:
        logits = features.flatten(1) @ self.projection
        # top_k of independent uniform scores is a draw without replacement.
        scores = torch.rand_like(logits) if self.training else logits
        weights = equal_top_k(scores, self.top_k)
        chance = torch.full_like(weights, 1 / self.num_experts) * self.top_k
        selection_probs = chance if self.training else None
        return Routing(logits, weights, weights, selection_probs)
