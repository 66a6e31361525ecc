"""Trains a router to predict each expert's log-likelihood."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.competition import log_likelihood
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class LossPrediction(RoutingTerm):
    """Mean over images and experts of |logits_e - log P_e(y)|.

    The experts get no gradient from it, because they are what is predicted.
    """

    needs_every_expert = True

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        # Detached: experts must not become worse in order to be easier to predict.
        predicted = output.routing.logits.float()
        return (predicted - log_likelihood(output, target).detach()).abs().mean()
