"""Noisy top-k routing (Shazeer et al. 2017, equations 3 to 5, appendix A equations 8 and 9)."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router
from moe_lab.routers.gates import Gate
from moe_lab.routers.temperature import Temperature, as_temperature
from moe_lab.routers.top_k import Normalize, keep_top_k, resolve_normalize, row_sum_of_top_k

# The least noise, so that selection_probs never divides by zero (1e-2 in the authors' code).
MIN_NOISE = 1e-2


@final
class NoisyTopKRouter(Router):
    """Top-k of logits + noise_std * N(0, 1) * (softplus(noise scores) + 0.01), noise in training
    only.

    `probs` is softmax(noisy scores / temperature), `weights` keeps its top_k, and `selection_probs`
    [B, E] is the probability that an expert is among the top_k when only its own noise is redrawn;
    None without noise.
    """

    def __init__(
        self,
        gate: Gate,
        in_features: int,
        top_k: int = 2,
        noise_std: float = 1.0,
        normalize: Normalize = "auto",
        temperature: Temperature | float = 1.0,
    ) -> None:
        super().__init__()
        if noise_std < 0:
            raise ValueError(f"router.noise_std must be at least 0, got {noise_std}")
        self.gate = gate
        self.num_experts = gate.num_experts
        self.top_k = top_k
        self.noise_std = noise_std
        self.normalize = resolve_normalize(normalize, top_k, self.num_experts)
        self.row_sum = row_sum_of_top_k(self.normalize, top_k, self.num_experts)
        self.temperature = as_temperature(temperature)
        self.noise = nn.Linear(in_features, self.num_experts, bias=False)
        # As in appendix A: all experts start with the same noise, softplus(0) = 0.69.
        nn.init.zeros_(self.noise.weight)

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        scores, selection_probs = logits, None
        if self.training and self.noise_std > 0:
            # Equation 4, with the noise scaled by a setting of ours.
            spread = functional.softplus(self.noise(features.flatten(1))) + MIN_NOISE
            spread = self.noise_std * spread
            # Noise before the softmax and before selection: gradients reach the noise's scale, and
            # experts close to the threshold are tried. [B, E]
            scores = logits + spread * torch.randn_like(logits)
            selection_probs = probability_of_selection(logits, scores, spread, self.top_k)
        probs = (scores / self.temperature()).softmax(-1)
        weights = keep_top_k(probs, self.top_k, self.normalize)
        return Routing(logits, probs, weights, selection_probs)


def probability_of_selection(logits: Tensor, scores: Tensor, spread: Tensor, top_k: int) -> Tensor:
    """P(an expert is in the top_k when its noise alone is redrawn), all [B, E] (equations 8 and
    9).
    """
    if top_k == logits.shape[-1]:  # there is no score to beat
        return torch.ones_like(logits)
    # The normal distribution function by erf. From the clean logits: the noise is what is redrawn.
    margin = (logits - score_to_beat(scores, top_k)) / (spread * math.sqrt(2))
    return 0.5 * (1 + torch.erf(margin))


def score_to_beat(scores: Tensor, top_k: int) -> Tensor:
    """The k-th largest of the *other* scores, top_k < E, [B, E] -> [B, E]: the (k+1)-th largest of
    all for an expert that is selected, the k-th for one that is not.
    """
    # "kth_excluding" of equation 9: with an expert's own score among them, an expert that is in
    # would have to beat itself.
    largest = scores.topk(top_k + 1, dim=-1).values
    to_stay, to_enter = largest[:, top_k, None], largest[:, top_k - 1, None]
    return torch.where(scores > to_stay, to_stay, to_enter)
