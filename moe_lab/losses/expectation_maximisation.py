"""Expectation-maximisation for mixtures of experts (Jordan & Jacobs 1994)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from moe_lab.losses.competition import log_joint
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class ExpectationMaximisation(RoutingTerm):
    """Mean over images of -sum_e r_e (log p_e + log P_e(y)), with responsibilities
    r_e = p_e P_e(y) / sum without a gradient, or 1 for the largest and 0 for others if `hard`.

    One gradient step replaces the paper's inner loop (generalised EM). With soft responsibilities
    its gradient is that of `competition`; the value is larger by the entropy of r.
    """

    needs_every_expert = True

    def __init__(self, hard: bool = False) -> None:
        self.hard = hard

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        joint = log_joint(output, target)  # [B, E]
        # The E step is detached: its result is data for the M step, which this gradient is part of.
        return -(responsibilities(joint.detach(), self.hard) * joint).sum(-1).mean()


def responsibilities(joint: Tensor, hard: bool) -> Tensor:
    """How much of each image belongs to each expert, rows sum to 1. [B, E] -> [B, E]"""
    if hard:
        return functional.one_hot(joint.argmax(-1), joint.shape[-1]).to(joint.dtype)
    return joint.softmax(-1)
