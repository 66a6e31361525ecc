"""The weighted sum of the experts' probabilities (Jacobs, Jordan, Nowlan & Hinton 1991)."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from moe_lab.dispatch import Plan
from moe_lab.models.combine.base import Combine


@final
class CombineProbabilities(Combine):
    """log of sum_e w_e * softmax(logits_e) + (1 - sum_e w_e) / C: a mixture of the experts'
    distributions. Outputs [N, C] -> [B, C]

    Weight that is assigned to no expert counts as the uniform distribution. So top-1 with
    its raw probability as weight stays a proper distribution *and* keeps a gradient to the gate,
    which dividing by the sum would cancel. Only weights that sum to more than 1 are divided by
    their sum.
    """

    def forward(self, outputs: Tensor, plan: Plan) -> Tensor:
        num_classes = outputs.shape[-1]
        assigned = plan.combine(plan.weight.unsqueeze(-1))  # [B, 1] sum of an image's weights
        mixed = plan.mix(outputs.float().softmax(-1))  # [B, C]
        unassigned = (1 - assigned).clamp(min=0)
        probs = mixed / assigned.clamp(min=1) + unassigned / num_classes
        # Where every expert's softmax underflows to 0 the logarithm would be -inf, and its gradient
        # NaN: the floor is the smallest normal float32.
        return probs.clamp(min=torch.finfo(probs.dtype).tiny).log()
