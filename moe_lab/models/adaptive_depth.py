"""Adaptive computation time over a mixture (Graves 2016, arXiv 1603.08983, equations 5 to 13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from moe_lab.dispatch import shapes_are_fixed
from moe_lab.experts import ExpertBank
from moe_lab.models.base import Model
from moe_lab.models.combine import Combine
from moe_lab.models.mixture import Mixture
from moe_lab.outputs import AdaptiveOutput, MixtureOutput, Output, Routing
from moe_lab.routers import ExpertOutputRouter, Router

# An image halts once the probability that is left is at most this, as in the paper: without a
# margin no image could halt after its first step, because a sigmoid never reaches 1.
EPSILON = 0.01


class AdaptiveDepth(Model):
    """Applies the same mixture up to `max_steps` times, as often as each image needs.

    At step t, with features h_t [B, D] and class probabilities y_t [B, C] of the mixture:
        halt_t = sigmoid(w . h_t + b),  weight_t = halt_t, or what is left of 1 at the last step
        h_(t+1) = h_t + U y_t,          prediction = sum_t weight_t y_t
    The weights of an image sum to exactly 1, and an image that has halted is not computed again.
    """

    output_type: ClassVar[type[Output]] = AdaptiveOutput

    def __init__(
        self,
        backbone: nn.Module,
        router: Router | ExpertOutputRouter,
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
        nn.init.zeros_(self.halt.bias)  # sigmoid(0) = 1/2: every image starts with two steps

    @property
    def experts(self) -> ExpertBank:
        return self.mixture.experts

    def learns_only_from_prediction(self) -> str | None:
        return "the halting unit of model=adaptive_depth"

    def forward(self, images: Tensor, *, every_expert: bool = False) -> AdaptiveOutput:
        start = self.mixture.backbone(images).flatten(1)  # [B, D]
        state = HaltingState.begin(images.shape[0], self.max_steps, start)
        features, alone = start, None
        for step in range(self.max_steps):
            # Every expert alone in the first step only: later steps have fewer rows, and losses on
            # single experts want a prediction of each for every image.
            output = self.mixture.route_and_combine(features, every_expert and step == 0)
            alone = output.expert_log_probs if step == 0 else alone  # [B, E, C]
            last = step == self.max_steps - 1
            halt = torch.sigmoid(self.halt(features.float()).squeeze(-1))  # [rows]
            going_on = state.add(step, output, halt, last)  # [rows] bool
            if last:
                break
            features = features + self.feed_back(output.log_probs.exp())
            if shapes_are_fixed():  # what an image that has halted adds has weight 0
                continue
            if not bool(going_on.any()):
                break
            features = features[going_on]
        return state.output(start, alone)


@dataclass
class HaltingState:
    """The weighted sums over the steps so far; rows of images that have halted stay as they are."""

    halting: list[Tensor]  # step -> [B] weights
    rows: Tensor  # [rows] int64, the images that take another step
    left: Tensor  # [B] halting probability not yet spent
    probs: Tensor | None = None  # [B, C]
    routing: list[Tensor] = field(default_factory=list)  # logits, probs, weights, each [B, E]
    steps: Tensor | None = None  # [B] number of steps plus remainder

    @classmethod
    def begin(cls, num_images: int, max_steps: int, like: Tensor) -> HaltingState:
        ones = torch.ones(num_images, device=like.device)
        halting = [torch.zeros_like(ones) for _ in range(max_steps)]
        return cls(halting, torch.arange(num_images, device=like.device), ones)

    def add(self, step: int, output: MixtureOutput, halt: Tensor, last: bool) -> Tensor:
        """Weigh one step of the rows that took it, with halting probabilities [rows]; returns
        which of them go on, [rows] bool.
        """
        left = self.left[self.rows]
        ends = torch.ones_like(halt, dtype=torch.bool) if last else left - halt <= EPSILON
        weight = torch.where(ends, left, halt)
        self.halting[step] = self.halting[step].index_put((self.rows,), weight)
        self.left = self.left.index_put((self.rows,), left - weight)
        # N + R (equation 12): the count has no gradient, the remainder teaches the halting unit.
        spent = torch.where(ends, 1 + weight, torch.ones_like(weight)) * (left > 0)
        parts = [output.routing.logits, output.routing.probs, output.routing.weights]
        # Probabilities are averaged, not logits: the prediction is the mixture of the steps.
        self.probs = self._sum(self.probs, output.log_probs.exp() * weight[:, None])
        self.steps = self._sum(self.steps, spent)
        weighted = [part * weight[:, None] for part in parts]
        if not self.routing:
            self.routing = [self._sum(None, part) for part in weighted]
        else:
            pairs = zip(self.routing, weighted, strict=True)
            self.routing = [self._sum(total, part) for total, part in pairs]
        if not shapes_are_fixed():
            self.rows = self.rows[~ends]
        return ~ends

    def _sum(self, total: Tensor | None, part: Tensor) -> Tensor:
        """The total [B, ...] with a part [rows, ...] added to the rows in play."""
        if total is None:
            total = part.new_zeros(self.left.shape[0], *part.shape[1:])
        return total.index_add(0, self.rows, part)

    def output(self, features: Tensor, alone: Tensor | None) -> AdaptiveOutput:
        assert self.probs is not None
        logits, probs, weights = self.routing
        floor = torch.finfo(self.probs.dtype).tiny  # log(0) would make the gradient NaN
        return AdaptiveOutput(
            self.probs.clamp(min=floor).log(),
            Routing(logits, probs, weights),
            alone,
            features,
            torch.stack(self.halting),
            self.steps,
        )
