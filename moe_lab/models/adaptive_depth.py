"""Adaptive computation time over a mixture (Graves 2016, arXiv 1603.08983, equations 5 to 13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from moe_lab.experts import ExpertBank
from moe_lab.models.base import Model
from moe_lab.models.combine import Combine
from moe_lab.models.mixture import Mixture
from moe_lab.outputs import AdaptiveOutput, MixtureOutput, Output, Routing
from moe_lab.routers import AnswerRouter, Router

EPSILON = 0.01  # a step may end the thinking once the rest of the probability is below this


class AdaptiveDepth(Model):
    """Asks the same mixture up to `max_steps` times, each image as often as it needs.

    At step t, with features h_t and class probabilities y_t of the mixture:
        halt_t = sigmoid(w . h_t + b),  weight_t = halt_t, or what is left of 1 at the last step
        h_(t+1) = h_t + U y_t,          answer = sum_t weight_t y_t
    The weights of an image sum to exactly 1, and an image that has halted is not computed again.
    """

    output_type: ClassVar[type[Output]] = AdaptiveOutput

    def __init__(
        self,
        backbone: nn.Module,
        router: Router | AnswerRouter,
        experts: ExpertBank,
        combine: Combine,
        num_experts: int,
        num_classes: int,
        max_steps: int = 4,
    ) -> None:
        super().__init__()
        if max_steps < 1:
            raise ValueError(f"model.max_steps must be at least 1, got {max_steps}")
        self.mixture = Mixture(backbone, router, experts, combine, num_experts)
        self.max_steps = max_steps
        width = int(backbone.out_features)  # type: ignore[arg-type]
        self.halt = nn.Linear(width, 1)
        self.feed_back = nn.Linear(num_classes, width, bias=False)
        nn.init.zeros_(self.halt.weight)
        nn.init.zeros_(self.halt.bias)  # a half: about two steps at first

    @property
    def experts(self) -> ExpertBank:
        return self.mixture.experts

    def learns_only_by_answer(self) -> str | None:
        return "the halting unit of model=adaptive_depth"

    def forward(self, images: Tensor, *, every_expert: bool = False) -> AdaptiveOutput:
        start = self.mixture.backbone(images).flatten(1)  # [B, D]
        thought = Thought.begin(len(images), self.max_steps, start)
        features, alone = start, None
        for step in range(self.max_steps):
            seen = self.mixture.route_and_answer(features, every_expert and step == 0)
            alone = seen.expert_log_probs if step == 0 else alone
            last = step == self.max_steps - 1
            halt = torch.sigmoid(self.halt(features.float()).squeeze(-1))
            going_on = thought.add(step, seen, halt, last)
            if last or not bool(going_on.any()):
                break
            features = (features + self.feed_back(seen.log_probs.exp()))[going_on]
        return thought.output(start, alone)


@dataclass
class Thought:
    """What the images have said so far; rows of finished images are no longer touched."""

    halting: list[Tensor]  # step -> [B] weights
    rows: Tensor  # images still being thought about
    left: Tensor  # [B] probability not yet spent
    probs: Tensor | None = None  # [B, C]
    routing: list[Tensor] = field(default_factory=list)  # logits, probs, weights, each [B, E]
    steps: Tensor | None = None  # [B] number of steps plus remainder

    @classmethod
    def begin(cls, num_images: int, max_steps: int, like: Tensor) -> Thought:
        ones = torch.ones(num_images, device=like.device)
        halting = [torch.zeros_like(ones) for _ in range(max_steps)]
        return cls(halting, torch.arange(num_images, device=like.device), ones)

    def add(self, step: int, seen: MixtureOutput, halt: Tensor, last: bool) -> Tensor:
        """Weigh one step of the rows in play; returns which of them go on, [rows]."""
        left = self.left[self.rows]
        ends = torch.ones_like(halt, dtype=torch.bool) if last else left - halt <= EPSILON
        weight = torch.where(ends, left, halt)
        self.halting[step] = self.halting[step].index_put((self.rows,), weight)
        self.left = self.left.index_put((self.rows,), left - weight)
        # N + R (equation 12): the count has no gradient, the remainder teaches the halting unit.
        spent = torch.where(ends, 1 + weight, torch.ones_like(weight))
        parts = [seen.routing.logits, seen.routing.probs, seen.routing.weights]
        self.probs = self._sum(self.probs, seen.log_probs.exp() * weight[:, None])
        self.steps = self._sum(self.steps, spent)
        weighted = [part * weight[:, None] for part in parts]
        if not self.routing:
            self.routing = [self._sum(None, part) for part in weighted]
        else:
            pairs = zip(self.routing, weighted, strict=True)
            self.routing = [self._sum(total, part) for total, part in pairs]
        self.rows = self.rows[~ends]
        return ~ends

    def _sum(self, total: Tensor | None, part: Tensor) -> Tensor:
        if total is None:
            total = part.new_zeros(len(self.left), *part.shape[1:])
        return total.index_add(0, self.rows, part)

    def output(self, features: Tensor, alone: Tensor | None) -> AdaptiveOutput:
        assert self.probs is not None
        logits, probs, weights = self.routing
        floor = torch.finfo(self.probs.dtype).tiny
        return AdaptiveOutput(
            self.probs.clamp(min=floor).log(),
            Routing(logits, probs, weights),
            alone,
            features,
            torch.stack(self.halting),
            self.steps,
        )
