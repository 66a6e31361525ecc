"""The contract of a combine rule."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from moe_lab.dispatch import Plan


class Combine(nn.Module, ABC):
    """Merges the answers of one batch; images without any expert get the uniform distribution."""

    @abstractmethod
    def forward(self, answers: Tensor, plan: Plan) -> Tensor:
        """Answers [N, C] in the order of the plan -> log-probabilities [B, C]."""

    def expert_log_probs(self, answers: Tensor, plan: Plan) -> Tensor:
        """What each expert says alone: answers [B * E, C] of a dense plan -> [B, E, C].

        The softmax of its own logits under every rule, whatever the rule would make of them.
        """
        return plan.dense(answers.float()).log_softmax(-1)
