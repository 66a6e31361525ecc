"""Cosine routing on a low-dimensional sphere (X-MoE, Chi et al. 2022, arXiv 2204.09179)."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn import functional

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router
from moe_lab.routers.temperature import LearnableTemperature
from moe_lab.routers.top_k import Normalize, keep_top_k, resolve_normalize, row_sum_of_top_k

# Vectors shorter than this are not scaled to length 1: the gradient of a blank image would grow as
# its length shrinks.
MIN_LENGTH = 1e-4


@final
class CosineRouter(Router):
    """logits = cos(W features, embedding_e) / temperature; probs = softmax(logits); weights its
    top_k, [B, E].

    The temperature is the router's own, learned, and at least 0.01.
    """

    def __init__(
        self,
        in_features: int,
        num_experts: int,
        width: int = 32,
        top_k: int = 2,
        normalize: Normalize = "auto",
        init_temperature: float = 0.5,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"router.width must be at least 1, got {width}")
        self.num_experts = num_experts
        self.top_k = top_k
        self.normalize = resolve_normalize(normalize, top_k, num_experts)
        self.row_sum = row_sum_of_top_k(self.normalize, top_k, num_experts)
        self.temperature = LearnableTemperature(init_temperature)
        self.project = nn.Linear(in_features, width, bias=False)
        self.embedding = nn.Linear(width, num_experts, bias=False)  # one row per expert
        # Only directions matter, but the gradient of a direction is divided by the length: rows of
        # length about 1 learn at the rate of the other weights.
        nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def route(self, features: Tensor) -> Routing:
        # [B, width] and [E, width], all of length 1
        points = functional.normalize(self.project(features.flatten(1)), dim=-1, eps=MIN_LENGTH)
        experts = functional.normalize(self.embedding.weight, dim=-1, eps=MIN_LENGTH)
        logits = points @ experts.t() / self.temperature()
        probs = logits.softmax(-1)
        weights = keep_top_k(probs, self.top_k, self.normalize)
        return Routing(logits=logits, probs=probs, weights=weights)
