"""One network without a router."""

from __future__ import annotations

from torch import Tensor, nn

from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertBank
from moe_lab.models.base import Model, check_expert_count, check_tokens
from moe_lab.outputs import Output


class Single(Model):
    """The dense baseline: one expert of any kind on every image. Images -> Output [B, C]."""

    def __init__(self, backbone: nn.Module, experts: ExpertBank, num_experts: int = 1) -> None:
        super().__init__()
        check_tokens(backbone, wanted=False)
        check_expert_count(experts, 1)  # `num_experts` is an argument so that configurations agree
        self.backbone = backbone
        self.experts = experts

    def forward(self, images: Tensor, *, every_expert: bool = False) -> Output:
        features = self.backbone(images)
        plan = Plan.every(images.shape[0], 1, images.device)
        return Output(self.experts(features, plan).float().log_softmax(-1))
