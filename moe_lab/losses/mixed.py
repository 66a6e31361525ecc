"""The loss of mixed images, for any objective."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.objective import Loss, Objective
from moe_lab.outputs import Output


def mixed_loss(
    objective: Objective, output: Output, labels: Tensor, partner_labels: Tensor, share: float
) -> Loss:
    """share * objective(output, labels) + (1 - share) * objective(output, partner_labels), term by
    term.

    For cross-entropy that is the one with the mixture of both labels (Zhang et al. 2018, equation
    2); terms that read no label are the same twice, and so unchanged.
    """
    own, other = objective(output, labels), objective(output, partner_labels)
    terms = {
        name: share * value + (1 - share) * other.terms[name] for name, value in own.terms.items()
    }
    return Loss(share * own.total + (1 - share) * other.total, terms, own.weights)
