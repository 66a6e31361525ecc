"""A linear layer that reads the weighted outputs of all experts side by side."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.dispatch import Plan
from moe_lab.models.combine.base import Combine


@final
class CombineConcat(Combine):
    """log_softmax of W [w_1 logits_1, ..., w_E logits_E], zeros for experts that are not used.

    Outputs [N, C] -> [B, C]. W [C, E * C] starts as E identities side by side, where the rule
    equals `CombineLogits`, and learns from there which classes of which expert to trust. It has no
    bias: the prediction for an image without experts stays uniform.
    """

    def __init__(self, num_experts: int, num_classes: int) -> None:
        super().__init__()
        for name, size in (("num_experts", num_experts), ("num_classes", num_classes)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.num_experts = num_experts
        self.weight = nn.Parameter(torch.eye(num_classes).repeat(1, num_experts))  # [C, E * C]

    def forward(self, outputs: Tensor, plan: Plan) -> Tensor:
        weighted = outputs.float() * plan.weight.float().unsqueeze(1)  # [N, C]
        side_by_side = self._side_by_side(weighted, plan)  # [B, E * C]
        # Autocast would round the logits just before the softmax.
        with torch.autocast(outputs.device.type, enabled=False):
            return functional.linear(side_by_side, self.weight.float()).log_softmax(-1)

    def _side_by_side(self, weighted: Tensor, plan: Plan) -> Tensor:
        """Each image's outputs in the order of the experts. [N, C] -> [B, E * C]"""
        if plan.is_dense:
            return plan.dense(weighted).flatten(1)
        place = plan.row * self.num_experts + plan.expert  # [N]
        cells = weighted.new_zeros(plan.num_rows * self.num_experts, weighted.shape[1])
        # Each cell is written at most once, so index_copy is deterministic; index_add need not be.
        return cells.index_copy(0, place, weighted).view(plan.num_rows, -1)
