"""A control: a constant, so that the modulators see the image alone."""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.models.feedback.base import Feedback, Seen


@final
class ConstantFeedback(Feedback):
    """signal = 1 / C in every place: the probabilities of a model that knows nothing, [B, C].

    A constant other than 0 keeps the parameters that read it alive, so that the control has as
    many of them in use as `self` has.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.out_features = num_classes

    def forward(self, seen: Seen) -> Tensor:
        return seen.log_probs.new_full((len(seen.log_probs), self.out_features), self.constant)

    @property
    def constant(self) -> float:
        return 1 / self.out_features
