"""The variance of the experts' mean probabilities: the plainest balance term."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class Variance(RoutingTerm):
    """1 + E * sum_e (mean probs_e - 1/E)^2: 1 at balance, E / n where n experts share everything
    equally, E at total collapse, n = 1.

    It reads the probabilities of all experts, where `importance` reads the weights that selection
    leaves. So it has a gradient for experts that were not selected; where every expert is used with
    its probability as weight, the two terms are equal.
    """

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return one_plus_scaled_variance(output.routing.probs.float().mean(0))


def one_plus_scaled_variance(mean_probs: Tensor) -> Tensor:
    """1 + E^2 times the population variance of probabilities [E] that sum to 1."""
    num_experts = mean_probs.numel()
    return 1 + num_experts * (mean_probs - 1 / num_experts).square().sum()
