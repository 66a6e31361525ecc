"""The model's own class probabilities."""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.models.feedback.base import Feedback, Seen


@final
class SelfFeedback(Feedback):
    """signal = p, the probabilities that the pass before gave, [B, C]."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.out_features = num_classes

    def forward(self, seen: Seen) -> Tensor:
        return seen.log_probs.exp()
