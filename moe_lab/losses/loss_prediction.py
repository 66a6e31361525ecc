"""Teaches a router to predict how well each expert will do."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.competition import log_likelihood
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class LossPrediction(RoutingTerm):
    """Mean over images and experts of |logits_e - log P_e(y)|.

    The experts get no gradient from it: they are what is predicted.
    """

    needs_every_expert = True

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        predicted = output.routing.logits.float()
        return (predicted - log_likelihood(output, target).detach()).abs().mean()
