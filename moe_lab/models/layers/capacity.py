"""How many of an image's tokens an expert takes (capacity of Switch Transformers, Fedus, Zoph &
Shazeer 2022, equation 3, with the priority of V-MoE, Riquelme et al. 2021, section 4).
"""

from __future__ import annotations

import torch
from torch import Tensor


def within_capacity(weights: Tensor, capacity_factor: float) -> Tensor:
    """Which (token, expert) pairs an expert has room for. [B, tokens, E] -> bool [B, tokens, E]

    An expert has room for ceil(capacity_factor * pairs / E) tokens of an image, where pairs are the
    image's non-zero weights: with top_k experts per token, top_k * tokens. It takes those of
    largest weight; among equals, the earlier. The papers share room among the images of a batch;
    room that belongs to one image keeps its prediction the same whatever else is in the batch, so
    that training and evaluation drop by the same rule.
    """
    # Detached throughout: a comparison has no gradient, and ranks would keep the graph alive.
    wanted = weights.detach() != 0
    num_experts = weights.shape[-1]
    pairs = wanted.sum((1, 2))  # [B]
    # Less a little before rounding up: a rounding error above a whole number is no extra place.
    room = (capacity_factor * pairs / num_experts - 1e-4).ceil().clamp(min=1)  # [B]
    order = weights.detach().argsort(dim=1, descending=True, stable=True)
    # The inverse of a permutation is its argsort.
    rank = torch.argsort(order, dim=1)  # [B, tokens, E] place of a token in the expert's queue
    return wanted & (rank < room[:, None, None])
