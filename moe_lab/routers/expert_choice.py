"""Expert choice: each expert selects its images (Zhou et al. 2022), and in evaluation each image is
routed by itself, with thresholds learned in training (after Expert Threshold routing, Sun et al.
2026, arXiv 2603.11535).
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from moe_lab.networks.progress import FollowsSteps
from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum, mean_over_ranks
from moe_lab.routers.gates import Gate
from moe_lab.routers.temperature import Temperature, as_temperature


@final
class ExpertChoiceRouter(Router, FollowsSteps):
    """Training: weights = probs of the C images that score highest with an expert, C =
    ceil(capacity_factor * B / E). Evaluation: weights = probs where probs >= threshold_e, and the
    first choice where there is none, [B, E].

    probs = softmax(logits / temperature) over *experts*: over images, an image's score would shrink
    with the batch. Weights are not normalised, as in the paper, so that every gate keeps a
    gradient. An image that no expert takes in training has no weight and no expert learns from it.
    A threshold is the moving average over steps of the smallest score that an expert took, the mean
    of them where several batches make a step.
    """

    row_sum: RowSum = "at most one"
    threshold: Tensor  # [E] float32
    num_updates: Tensor  # [] int64
    smallest: Tensor  # [E] float32, sum over the batches of the step so far
    num_batches: Tensor  # [] float32, of the step so far

    def __init__(
        self,
        gate: Gate,
        capacity_factor: float = 2.0,
        momentum: float = 0.99,
        temperature: Temperature | float = 1.0,
    ) -> None:
        super().__init__()
        if capacity_factor <= 0:
            raise ValueError(f"router.capacity_factor must be above 0, got {capacity_factor}")
        if not 0 <= momentum < 1:
            raise ValueError(f"router.momentum must be at least 0 and below 1, got {momentum}")
        self.gate = gate
        self.num_experts = gate.num_experts
        self.capacity_factor = capacity_factor
        self.momentum = momentum
        self.temperature = as_temperature(temperature)
        # Before any training an expert takes the images that it scores above chance.
        start = torch.full((self.num_experts,), 1 / self.num_experts)
        self.register_buffer("threshold", start)
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("smallest", torch.zeros(self.num_experts), persistent=False)
        self.register_buffer("num_batches", torch.zeros(()), persistent=False)

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        probs = (logits / self.temperature()).softmax(-1)
        taken = self._taken_by_experts(probs) if self.training else self._above_threshold(probs)
        return Routing(logits=logits, probs=probs, weights=probs * taken)

    def capacity(self, num_images: int) -> int:
        """C, how many of B images each expert takes, 1..B."""
        wanted = math.ceil(self.capacity_factor * num_images / self.num_experts)
        return min(num_images, max(1, wanted))

    @torch.no_grad()
    def _taken_by_experts(self, probs: Tensor) -> Tensor:
        """1 for the images that each expert takes, [B, E] -> [B, E]."""
        scores, images = probs.topk(self.capacity(len(probs)), dim=0)  # [C, E]
        self.smallest += scores[-1]
        self.num_batches += 1
        return torch.zeros_like(probs).scatter(0, images, 1.0)

    @torch.no_grad()
    def end_step(self) -> None:
        smallest = mean_over_ranks(self.smallest / self.num_batches.clamp(min=1))
        # A plain mean at first, so that the initial value has no weight after one step.
        seen = self.num_updates.float()
        keep = (seen / (seen + 1)).clamp(max=self.momentum)
        # where, not if: a look at the count would wait for the GPU at every step.
        has_seen = self.num_batches > 0
        keep = torch.where(has_seen, keep, 1.0)
        self.threshold.mul_(keep).add_((1 - keep) * smallest)
        self.num_updates += has_seen
        self.smallest.zero_()
        self.num_batches.zero_()

    @torch.no_grad()
    def _above_threshold(self, probs: Tensor) -> Tensor:
        """1 for experts whose threshold an image reaches, or its first choice, [B, E] -> [B, E]."""
        taken = (probs >= self.threshold).float()
        first = torch.zeros_like(probs).scatter(-1, probs.argmax(-1, keepdim=True), 1.0)
        return torch.where(taken.any(-1, keepdim=True), taken, first)
