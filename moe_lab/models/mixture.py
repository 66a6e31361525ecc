"""The mixture of experts, dense or sparse: the router's weights decide which of the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertBank
from moe_lab.models.base import Model, check_expert_count, check_tokens
from moe_lab.models.combine import Combine
from moe_lab.outputs import MixtureOutput, Output
from moe_lab.routers import ExpertOutputRouter, Router


class Mixture(Model):
    """Backbone, router, experts and combine rule: images -> MixtureOutput.

    1. features = backbone(images)              [B, ...]
    2. routing = router(features)               [B, E], exactly 0 where an expert is not used
    3. outputs = experts(features, plan)        [N, C], only for the N non-zero weights
    4. log_probs = combine(outputs, plan)       [B, C]
    """

    output_type: ClassVar[type[Output]] = MixtureOutput

    def __init__(
        self,
        backbone: nn.Module,
        router: Router | ExpertOutputRouter,
        experts: ExpertBank,
        combine: Combine,
        num_experts: int,
    ) -> None:
        super().__init__()
        check_expert_count(experts, num_experts)
        if router.num_experts != num_experts:
            raise ValueError(
                f"model.num_experts is {num_experts}, but the router selects from "
                f"{router.num_experts}"
            )
        check_tokens(backbone, wanted=False)
        self.backbone = backbone
        self.router = router
        self.experts = experts
        self.combine = combine

    def learns_only_from_prediction(self) -> str | None:
        # Losses on the routing or on single experts do not pass through the combine rule.
        has_weights = any(True for _ in self.combine.parameters())
        return f"combine={type(self.combine).__name__}" if has_weights else None

    def routed_layers(self) -> Mapping[str, nn.Module]:
        return {"router": self}

    def reads_domain(self) -> bool:
        return isinstance(self.router, Router) and self.router.reads_domain

    def with_domain(
        self, images: Tensor, domain: Tensor | None, *, every_expert: bool = False
    ) -> MixtureOutput:
        known = domain if self.reads_domain() else None
        return self.route_and_combine(self.backbone(images), every_expert, known)

    def forward(self, images: Tensor, *, every_expert: bool = False) -> MixtureOutput:
        return self.route_and_combine(self.backbone(images), every_expert)

    def route_and_combine(
        self, features: Tensor, every_expert: bool = False, domain: Tensor | None = None
    ) -> MixtureOutput:
        """Steps 2 to 4 for features [B, ...]; `domain` [B] is for a router that reads it."""
        told = () if domain is None else (domain,)
        if every_expert or isinstance(self.router, ExpertOutputRouter):
            return self._evaluate_all_experts(features, told)
        routing = self.router(features, *told)
        plan = Plan.from_weights(routing.weights)
        log_probs = self.combine(self.experts(features, plan), plan)
        return MixtureOutput(log_probs, routing, features=features)

    def _evaluate_all_experts(
        self, features: Tensor, told: tuple[Tensor, ...] = ()
    ) -> MixtureOutput:
        """Steps 2 to 4 with every expert on every image, as some routers and losses require."""
        # One evaluation for both uses: in a second one dropout would draw again, and the combined
        # prediction and the single experts would disagree.
        num_images = features.shape[0]
        every_pair = Plan.every(num_images, self.experts.num_experts, features.device)
        outputs = self.experts(features, every_pair)  # [E * B, C]
        if isinstance(self.router, ExpertOutputRouter):
            routing = self.router(features, every_pair.dense(outputs))
        else:
            routing = self.router(features, *told)
        plan = Plan.from_weights(routing.weights)
        # The rest still follows the sparse plan, so that a loss that reads every expert does not
        # change what the model predicts.
        all_pairs = plan.is_dense
        selected = outputs if all_pairs else outputs[plan.expert * num_images + plan.row]  # [N, C]
        expert_log_probs = self.combine.expert_log_probs(outputs, every_pair)  # [B, E, C]
        return MixtureOutput(self.combine(selected, plan), routing, expert_log_probs, features)
