"""The router z-loss of ST-MoE (Zoph et al. 2022, equation 5)."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class RouterZ(RoutingTerm):
    """mean over images of logsumexp(logits)^2; not zero at its best, so no sign of trouble by
    itself.
    """

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return output.routing.logits.float().logsumexp(-1).square().mean()
