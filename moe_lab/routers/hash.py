"""A control: experts selected by a fixed random projection, without learning (after hash layers,
Roller et al. 2021).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum
from moe_lab.routers.top_k import check_top_k, equal_top_k


@final
class HashRouter(Router):
    """weights = probs = 1 / top_k at the top_k largest of features @ projection, [B, D] -> [B, E].

    Similar images share experts, and that is all: a learned gate has to do better. Drawn anew for
    each seed, stored with the weights, no parameters.
    """

    row_sum: RowSum = "one"
    projection: Tensor  # [D, E]

    def __init__(self, in_features: int, num_experts: int, top_k: int = 1) -> None:
        super().__init__()
        check_top_k(top_k, num_experts)
        self.num_experts = num_experts
        self.top_k = top_k
        # A buffer, not a seed: a loaded model must route as it was trained, on any device.
        self.register_buffer("projection", random_projection(in_features, num_experts))

    def route(self, features: Tensor) -> Routing:
        logits = features.flatten(1) @ self.projection
        weights = equal_top_k(logits, self.top_k)
        return Routing(logits=logits, probs=weights, weights=weights)


def random_projection(in_features: int, num_experts: int) -> Tensor:
    """A random direction for each expert, [D, E]; of length 1, since longer ones would be selected
    more often.
    """
    return functional.normalize(torch.randn(in_features, num_experts), dim=0)
