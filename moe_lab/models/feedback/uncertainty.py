"""The model's own class probabilities and their entropy."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from moe_lab.models.feedback.base import Feedback, PassState


@final
class UncertaintyFeedback(Feedback):
    """signal = [p, H(p) / log C]: probabilities and their entropy in 0..1, [B, C + 1]."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.out_features = num_classes + 1
        self.largest = math.log(max(2, num_classes))  # log 1 = 0 would divide by zero

    def forward(self, state: PassState) -> Tensor:
        probs = state.log_probs.exp()
        entropy = torch.special.entr(probs).sum(-1, keepdim=True)
        return torch.cat((probs, entropy / self.largest), -1)
