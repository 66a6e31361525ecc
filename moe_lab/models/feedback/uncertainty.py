"""The model's own class probabilities and how undecided they are."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from moe_lab.models.feedback.base import Feedback, Seen


@final
class UncertaintyFeedback(Feedback):
    """signal = [p, H(p) / log C]: probabilities and their entropy in 0..1, [B, C + 1]."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.out_features = num_classes + 1
        self.largest = math.log(max(2, num_classes))

    def forward(self, seen: Seen) -> Tensor:
        probs = seen.log_probs.exp()
        entropy = torch.special.entr(probs).sum(-1, keepdim=True)
        return torch.cat((probs, entropy / self.largest), -1)
