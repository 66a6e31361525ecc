"""The load-balancing loss of Switch Transformers (Fedus, Zoph & Shazeer 2022, equation 4)."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput, Routing


class SwitchBalance(RoutingTerm):
    """E * sum_e load_e * mean probs_e: 1 at uniform load, E at total collapse, whatever top_k
    is.
    """

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return switch_balance(output.routing)


def switch_balance(routing: Routing) -> Tensor:
    """The loss of one batch of routing; load has no gradient, probs has."""
    return routing.num_experts * (load_share(routing.weights) * routing.probs.float().mean(0)).sum()


@torch.no_grad()
def load_share(weights: Tensor) -> Tensor:
    """Each expert's share of the (image, expert) pairs, [B, E] -> [E].

    Dividing by the pairs, not by the images, keeps the minimum at 1 for every top_k. Where all
    experts answer every image the pairs say nothing, and the share of images whose first choice an
    expert is takes their place, as for top-1; equal firsts divide the image between them.
    """
    used = (weights != 0).float()
    first = (weights == weights.amax(-1, keepdim=True)).float()
    first = first / first.sum(-1, keepdim=True)
    # where, not if: a look at the data would wait for the GPU at every step.
    counts = torch.where(used.all(), first, used).sum(0)
    return counts / counts.sum().clamp(min=1)
