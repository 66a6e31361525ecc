"""Weights learned from each task's uncertainty (Kendall, Gal & Cipolla 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from moe_lab.losses.term import Term
from moe_lab.losses.weight import Weight


class Uncertainty(nn.Module):
    """sum_i exp(-s_i) w_i L_i + s_i with one learned s_i = log sigma_i^2 per term, initially 0.

    The best s_i is log(w_i L_i): large losses count less. The paper's factors of 1/2, which come
    from its likelihoods, are left out, since they would only shift s.
    """

    def __init__(self, terms: Mapping[str, Term], weights: Mapping[str, Weight]) -> None:
        super().__init__()
        for name, term in terms.items():
            if not term.always_positive:
                raise ValueError(
                    f"loss.weighting=uncertainty cannot weigh loss.terms.{name}: its value can "
                    f"reach zero or below, and its learned weight would grow without bound; set "
                    f"loss.terms.{name}.weight=0, or loss.weighting=fixed"
                )
            if min(weights[name].start, weights[name].end) == 0:
                raise ValueError(
                    f"loss.weighting=uncertainty cannot weigh loss.terms.{name}: its weight starts "
                    f"or ends at 0, where the learned factor would grow without bound; set a "
                    f"weight above 0, or loss.weighting=fixed"
                )
        # The logarithm is learned, so that no step can make a variance negative.
        self.log_variances = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(())) for name in terms}
        )

    def forward(self, name: str, weighted: Tensor) -> Tensor:
        """One summand of the objective: exp(-s) * weighted + s, [] -> []."""
        log_variance = self.log_variances[name]
        return (-log_variance).exp() * weighted + log_variance

    def factor(self, name: str) -> Tensor:
        """The learned factor of a term at present, [], for the log."""
        return (-self.log_variances[name].detach()).exp()
