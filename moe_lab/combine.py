"""How the answers of the chosen experts become one: answers [N, C] and a plan -> log-probabilities
[B, C].

Answers are logits over classes; every rule returns proper log-probabilities in float32, exactly one
softmax deep.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from moe_lab.dispatch.plan import Plan


class Combine(nn.Module, ABC):
    """Merges the answers of one batch; images without any expert get the uniform distribution."""

    @abstractmethod
    def forward(self, answers: Tensor, plan: Plan) -> Tensor:
        """Answers [N, C] in the order of the plan -> log-probabilities [B, C]."""

    def expert_log_probs(self, answers: Tensor, plan: Plan) -> Tensor:
        """What each expert says alone: answers [B * E, C] of a dense plan -> [B, E, C]."""
        return plan.dense(answers.float()).log_softmax(-1)


class CombineLogits(Combine):
    """log_softmax of sum_e w_e * logits_e: a product of experts, each raised to its weight."""

    def forward(self, answers: Tensor, plan: Plan) -> Tensor:
        return plan.mix(answers.float()).log_softmax(-1)


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
