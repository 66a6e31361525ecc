"""A control: the true domain of an image chooses its expert. No contender, since it is told what
others have to find out.
"""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum


@final
class OracleRouter(Router):
    """weights = probs = logits = 1 at the expert with the number of the image's domain, 0
    elsewhere: [B, D], domain [B] -> [B, E]. No parameters.

    It bounds what routing by domain could reach. An image whose domain it is not told is answered
    by all experts alike.
    """

    row_sum: RowSum = "one"
    reads_domain: ClassVar[bool] = True

    def __init__(self, num_experts: int, num_domains: int | None) -> None:
        super().__init__()
        if num_experts < (num_domains or 1):
            raise ValueError(
                "router=oracle gives every domain an expert: model.num_experts must be at least "
                f"{num_domains or 1}, got {num_experts}"
            )
        self.num_experts = num_experts

    def forward(self, features: Tensor, domain: Tensor | None = None) -> Routing:
        if domain is None:
            return super().forward(features)
        weights = one_hot(domain, self.num_experts).to(torch.float32)
        return Routing(logits=weights, probs=weights, weights=weights)

    def route(self, features: Tensor) -> Routing:
        logits = features.new_zeros(len(features), self.num_experts)
        weights = logits.softmax(-1)
        return Routing(logits=logits, probs=weights, weights=weights)
