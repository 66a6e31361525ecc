"""A control: a constant, so that the modulators read the image alone."""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.models.feedback.base import Feedback, PassState


@final
class ConstantFeedback(Feedback):
    """signal = 1 / C for every class: the probabilities of a model that knows nothing, [B, C].

    A constant other than 0 gives the weights that read it a gradient, so that the control uses as
    many parameters as `self` does.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.out_features = num_classes

    def forward(self, state: PassState) -> Tensor:
        shape = (state.log_probs.shape[0], self.out_features)
        return state.log_probs.new_full(shape, self.constant)

    @property
    def constant(self) -> float:
        return 1 / self.out_features
