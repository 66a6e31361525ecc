"""The load-balancing loss of Switch Transformers (Fedus, Zoph & Shazeer 2022, equation 4)."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_lab.losses.importance import shares
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput, Routing, weight_shares


class SwitchBalance(RoutingTerm):
    """E * sum_e load_e * mean probs_e: 1 at balance, E / n where n experts share everything
    equally, E at total collapse, n = 1.

    Load is the share of weight, for one expert per image the paper's share of images. A count of
    images would stop at E / top_k for several, and could not be taken of a router that asks all
    experts about every image. The value is at most E; it can fall below 1 where the experts with
    most load are not the most probable on average, which weights that are the probs rule out.
    """

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return switch_balance(output.routing)


def switch_balance(routing: Routing) -> Tensor:
    """The loss of one batch of routing; load has no gradient, probs has."""
    return routing.num_experts * (load_share(routing.weights) * routing.probs.float().mean(0)).sum()


@torch.no_grad()
def load_share(weights: Tensor) -> Tensor:
    """Each expert's load, see `weight_shares`, [B, E] -> [E]; uniform where no image has an
    expert.
    """
    return shares(weight_shares(weights).sum(0))
