"""The Gini coefficient of the experts' importance (Gini 1912)."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_lab.losses.importance import shares
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class Gini(RoutingTerm):
    """1 + E * G of the summed weights: 1 at balance, 1 + E - n where n experts share everything
    equally, E at total collapse, n = 1, since G is at most (E - 1) / E.

    Its gradient depends on the order of the experts alone, not on how far apart they are: it pulls
    as hard close to balance as far from it.
    """

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        importance = output.routing.weights.float().sum(0)
        return 1 + importance.numel() * gini(importance)


def gini(amounts: Tensor) -> Tensor:
    """sum_i (2 i - E - 1) share_(i) / E with shares in ascending order, i = 1..E. [E] -> []"""
    # The sorted form of the mean absolute difference over all pairs, without E x E differences.
    count = amounts.numel()
    rank = torch.arange(1, count + 1, device=amounts.device)
    return ((2 * rank - count - 1) * shares(amounts).sort().values).sum() / count
