"""The load beyond an expert's capacity (Fedus, Zoph & Shazeer 2022, equation 3), as a loss."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.switch_balance import load_share
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput, Routing


class Capacity(RoutingTerm):
    """E * sum_e relu(load_e - capacity_factor / E) * mean probs_e: 0 while no expert gets more than
    capacity_factor times its fair load, E / n - capacity_factor where fewer experts, n of them,
    share everything equally, E - capacity_factor at total collapse.

    Nothing is dropped here: the paper drops what this discourages. As in `switch_balance`, load
    has no gradient, probs has.
    """

    always_positive = False

    def __init__(self, capacity_factor: float = 1.25) -> None:
        if capacity_factor < 1:
            raise ValueError(f"capacity_factor must be at least 1, got {capacity_factor}")
        self.capacity_factor = capacity_factor

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return beyond_capacity(output.routing, self.capacity_factor)


def beyond_capacity(routing: Routing, capacity_factor: float) -> Tensor:
    """The loss of one batch of routing."""
    excess = (load_share(routing.weights) - capacity_factor / routing.num_experts).relu()
    return routing.num_experts * (excess * routing.probs.float().mean(0)).sum()
