"""The model's own class probabilities."""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.models.feedback.base import Feedback, PassState


@final
class SelfFeedback(Feedback):
    """signal = p, the class probabilities of the pass before, [B, C]."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.out_features = num_classes

    def forward(self, state: PassState) -> Tensor:
        # With its gradient: a pass may learn to make a prediction that helps the next one.
        return state.log_probs.exp()
