"""The contract of a combine rule."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from moe_lab.dispatch import Plan


class Combine(nn.Module, ABC):
    """Merges the expert outputs of one batch; images without any expert get the uniform
    distribution.
    """

    @abstractmethod
    def forward(self, outputs: Tensor, plan: Plan) -> Tensor:
        """Outputs [N, C] in the order of the plan -> log-probabilities [B, C]."""

    def expert_log_probs(self, outputs: Tensor, plan: Plan) -> Tensor:
        """The prediction of each expert alone: outputs [E * B, C] of a dense plan -> [B, E, C].

        The softmax of its own logits under every rule, so that losses on single experts mean the
        same for all of them.
        """
        return plan.dense(outputs.float()).log_softmax(-1)
