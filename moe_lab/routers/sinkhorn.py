"""Sinkhorn routing: balanced selection by optimal transport (Clark et al. 2022, arXiv 2202.01169,
S-BASE; after BASE layers, Lewis et al. 2021).
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router
from moe_lab.routers.gates import Gate
from moe_lab.routers.top_k import Normalize, keep_chosen, resolve_normalize, row_sum_of_top_k


@final
class SinkhornRouter(Router):
    """Training selects the top_k of exp(logits) after scaling it to rows of sum 1 and columns of
    sum B / E; evaluation the top_k of the logits. probs = softmax(logits); weights = probs of the
    selected, [B, E].

    Training normalises over the whole batch, evaluation reads one image: they agree only as far as
    the gate has learned to be balanced.
    """

    def __init__(
        self, gate: Gate, top_k: int = 2, iterations: int = 10, normalize: Normalize = "auto"
    ) -> None:
        super().__init__()
        if iterations < 1:
            raise ValueError(f"router.iterations must be at least 1, got {iterations}")
        self.gate = gate
        self.num_experts = gate.num_experts
        self.top_k = top_k
        self.iterations = iterations
        self.normalize = resolve_normalize(normalize, top_k, self.num_experts)
        self.row_sum = row_sum_of_top_k(self.normalize, top_k, self.num_experts)

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        # Only the selection is balanced; the weights, and so the gradient, come from plain logits.
        scores = logits.detach()
        # With one image, scaling its columns to B / E each would remove all preferences.
        if self.training and len(scores) > 1:
            scores = scores + log_column_scale(scores, self.iterations)
        selected = scores.topk(self.top_k, dim=-1).indices
        weights = keep_chosen(logits, selected, self.normalize)
        return Routing(logits=logits, probs=logits.softmax(-1), weights=weights)


@torch.no_grad()
def log_column_scale(logits: Tensor, iterations: int) -> Tensor:
    """log v of the scaling diag(u) exp(logits) diag(v) with row sums 1 and column sums B / E.

    [B, E] -> [E]. The rows' factor u is left out, since it does not change the order within a row.
    """
    num_images, num_experts = logits.shape
    target = math.log(num_images / num_experts)
    columns = logits.new_zeros(num_experts)
    for _ in range(iterations):  # as logarithms, so that large logits do not overflow
        rows = -(logits + columns).logsumexp(1, keepdim=True)  # [B, 1]
        columns = target - (logits + rows).logsumexp(0)
    return columns
