"""The mixture of experts, dense or sparse: the router's weights decide which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertBank
from moe_lab.models.base import Model, check_expert_count, check_tokens
from moe_lab.models.combine import Combine
from moe_lab.outputs import MixtureOutput, Output
from moe_lab.routers import AnswerRouter, Router


class Mixture(Model):
    """Backbone, router, experts and combine rule: images -> MixtureOutput.

    1. features = backbone(images)              [B, ...]
    2. routing = router(features)               [B, E], exactly 0 where an expert is not used
    3. answers = experts(features, plan)        [N, C], only for the N non-zero weights
    4. log_probs = combine(answers, plan)       [B, C]
    """

    output_type: ClassVar[type[Output]] = MixtureOutput

    def __init__(
        self,
        backbone: nn.Module,
        router: Router | AnswerRouter,
        experts: ExpertBank,
        combine: Combine,
        num_experts: int,
    ) -> None:
        super().__init__()
        check_expert_count(experts, num_experts)
        if router.num_experts != num_experts:
            raise ValueError(
                f"model.num_experts is {num_experts}, but the router chooses among "
                f"{router.num_experts}"
            )
        check_tokens(backbone, wanted=False)
        self.backbone = backbone
        self.router = router
        self.experts = experts
        self.combine = combine

    def learns_only_by_answer(self) -> str | None:
        has_weights = any(True for _ in self.combine.parameters())
        return f"combine={type(self.combine).__name__}" if has_weights else None

    def routed_layers(self) -> Mapping[str, nn.Module]:
        return {"router": self}

    def forward(self, images: Tensor, *, every_expert: bool = False) -> MixtureOutput:
        return self.route_and_answer(self.backbone(images), every_expert)

    def route_and_answer(self, features: Tensor, every_expert: bool = False) -> MixtureOutput:
        """Steps 2 to 4 for features [B, ...]."""
        if every_expert or isinstance(self.router, AnswerRouter):
            return self._ask_everyone(features)
        routing = self.router(features)
        plan = Plan.from_weights(routing.weights)
        log_probs = self.combine(self.experts(features, plan), plan)
        return MixtureOutput(log_probs, routing, features=features)

    def _ask_everyone(self, features: Tensor) -> MixtureOutput:
        # Computed once for everybody, then picked: dropout then agrees between the two readings.
        num_images = len(features)
        everyone = Plan.every(num_images, self.experts.num_experts, features.device)
        answers = self.experts(features, everyone)  # [E * B, D]
        if isinstance(self.router, AnswerRouter):
            routing = self.router(features, everyone.dense(answers))
        else:
            routing = self.router(features)
        plan = Plan.from_weights(routing.weights)
        chosen = answers[plan.expert * num_images + plan.row]
        expert_log_probs = self.combine.expert_log_probs(answers, everyone)
        return MixtureOutput(self.combine(chosen, plan), routing, expert_log_probs, features)
