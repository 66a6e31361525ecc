"""The weighted sum of the experts' probabilities (Jacobs, Jordan, Nowlan & Hinton 1991)."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from moe_lab.dispatch import Plan
from moe_lab.models.combine.base import Combine


@final
class CombineProbabilities(Combine):
    """log of sum_e w_e * softmax(logits_e) + (1 - sum_e w_e) / C: a mixture of experts'
    distributions.

    Weight that no expert claims stands for no knowledge, the uniform distribution. So top-1 with
    its raw probability as weight stays a proper distribution *and* keeps a gradient to the gate,
    which dividing by the sum would cancel. Only weights that sum to more than 1 are divided by
    their sum.
    """

    def forward(self, answers: Tensor, plan: Plan) -> Tensor:
        num_classes = answers.shape[-1]
        claimed = plan.combine(plan.weight.unsqueeze(-1))  # [B, 1]
        mixed = plan.mix(answers.float().softmax(-1))  # [B, C]
        unclaimed = (1 - claimed).clamp(min=0)
        probs = mixed / claimed.clamp(min=1) + unclaimed / num_classes
        # The floor is the smallest normal float32: a class on which all experts agree to give
        # nothing.
        return probs.clamp(min=torch.finfo(probs.dtype).tiny).log()
