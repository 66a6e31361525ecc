"""A lower bound on the use of every expert."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class MinimumUsage(RoutingTerm):
    """sum_e relu(minimum / E - mean probs_e): 0 once every expert has `minimum` times its fair
    share of probability, minimum * (E - 1) / E at collapse.

    Unlike a balance term it has no gradient for experts above the minimum.
    """

    always_positive = False  # 0 once every expert has its minimum

    def __init__(self, minimum: float = 0.5) -> None:
        if not 0 < minimum <= 1:
            raise ValueError(f"minimum must be above 0 and at most 1, got {minimum}")
        self.minimum = minimum

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return shortfall(output.routing.probs.float().mean(0), self.minimum)


def shortfall(mean_probs: Tensor, minimum: float) -> Tensor:
    """The sum of what experts lack to `minimum` times their fair share, [E] -> []."""
    return (minimum / mean_probs.numel() - mean_probs).relu().sum()
