"""The importance loss of Shazeer et al. (2017), equations 6 and 7."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class Importance(RoutingTerm):
    """1 + CV(importance)^2, importance_e = the sum of expert e's weights: 1 at balance, E / n where
    n experts share everything equally, E at total collapse, n = 1.

    The paper's CV squared plus a constant, with the population variance, so that all balance terms
    share one scale.
    """

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return one_plus_squared_variation(output.routing.weights.float().sum(0))


def one_plus_squared_variation(amounts: Tensor) -> Tensor:
    """1 + CV^2 = E * sum_e share_e^2 for non-negative amounts [E]; 1 where all are zero."""
    return amounts.numel() * shares(amounts).square().sum()


def shares(amounts: Tensor) -> Tensor:
    """Non-negative amounts divided by their sum, [E] -> [E]; uniform where all are zero."""
    total = amounts.sum()
    return torch.where(total > 0, amounts / total.clamp(min=1e-20), 1 / amounts.numel())
