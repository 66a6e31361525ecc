"""The router z-loss of ST-MoE (Zoph et al. 2022, equation 5)."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class RouterZ(RoutingTerm):
    """Mean over images of logsumexp(logits)^2. A well-trained router does not reach 0, so the value
    alone is no sign of trouble.
    """

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        # Rounding errors grow with the size of a logit, and the exponential magnifies them.
        return output.routing.logits.float().logsumexp(-1).square().mean()
