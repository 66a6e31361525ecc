"""The model's own hidden activations."""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.models.feedback.base import Feedback, PassState


@final
class HiddenFeedback(Feedback):
    """signal = h, the last hidden activations of the pass before, [B, H]."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.out_features = hidden

    def forward(self, state: PassState) -> Tensor:
        return state.hidden
