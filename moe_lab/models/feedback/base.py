"""The contract of a feedback source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn


@dataclass(frozen=True)
class PassState:
    """The results of one pass."""

    log_probs: Tensor  # [B, C] float32
    hidden: Tensor  # [B, H] the last hidden activations


class Feedback(nn.Module, ABC):
    """What the modulators read about the pass before, besides the image itself: PassState ->
    signal [B, F].

    `forward` is what an evaluation uses and sees no label. `teach` may: it is called in training
    only, and for every source but the oracle it is the same as `forward`.
    """

    out_features: int  # F, width of the signal
    # Then the signal is a forecast of onehot(y) - p: a loss term teaches it, and nothing else may.
    forecasts_error: ClassVar[bool] = False
    sees_labels: ClassVar[bool] = False  # in `teach`
    cannot_evaluate: str | None = None  # why `forward` must refuse, if so

    @abstractmethod
    def forward(self, state: PassState) -> Tensor:
        """The signal, [B, F]."""

    def teach(self, state: PassState, target: Tensor) -> Tensor:
        """The signal of a training step whose labels [B] are known, [B, F]."""
        signal: Tensor = self(state)
        return signal
