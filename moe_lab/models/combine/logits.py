"""The weighted sum of the experts' logits."""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.dispatch import Plan
from moe_lab.models.combine.base import Combine


@final
class CombineLogits(Combine):
    """log_softmax of sum_e w_e * logits_e: a product of experts, each raised to its weight (after
    Hinton 2002). Outputs [N, C] -> [B, C]
    """

    def forward(self, outputs: Tensor, plan: Plan) -> Tensor:
        # An image without experts has logits of 0, which are the uniform distribution.
        return plan.mix(outputs.float()).log_softmax(-1)
