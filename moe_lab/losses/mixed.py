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

    For cross-entropy that equals the loss with the mixture of both labels (Zhang et al. 2018,
    equation 2); terms that read no label have the same value twice, and so do not change.
    """
    # Twice with hard labels, instead of once with soft ones: then no term needs to know about it.
    own, other = objective(output, labels), objective(output, partner_labels)
    terms = {
        name: share * value + (1 - share) * other.terms[name] for name, value in own.terms.items()
    }
    return Loss(share * own.total + (1 - share) * other.total, terms, own.weights)
