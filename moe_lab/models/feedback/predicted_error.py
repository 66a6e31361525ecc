"""A forecast of the model's own error, learned in training and without labels in evaluation."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from moe_lab.models.feedback.base import Feedback, PassState


@final
class PredictedErrorFeedback(Feedback):
    """signal = tanh(W [h, p] + b), a forecast of onehot(y) - p, [B, C].

    The loss term `predicted_error` teaches it, and nothing else: the modulators read the forecast
    without sending gradients back, so that it stays a forecast.
    """

    forecasts_error: ClassVar[bool] = True

    def __init__(self, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.out_features = num_classes
        self.from_hidden = nn.Linear(hidden, num_classes)
        self.from_probs = nn.Linear(num_classes, num_classes, bias=False)

    def forward(self, state: PassState) -> Tensor:
        # Detached: the loss of the forecast must not change what the network computes, so that its
        # error gets easier to forecast.
        hidden, probs = state.hidden.detach(), state.log_probs.detach().exp()
        forecast = self.from_hidden(hidden).float() + self.from_probs(probs).float()
        return forecast.tanh()  # onehot(y) - p lies in -1..1
