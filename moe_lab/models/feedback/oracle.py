"""The true error in training, replaced by the model's own probabilities before training ends."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from torch import Tensor
from torch.nn import functional

from moe_lab.errors import ConfigError
from moe_lab.models.feedback.base import Feedback, PassState
from moe_lab.networks.progress import FollowsProgress, interpolate

WITHOUT_HAND_OVER = (
    "feedback=oracle with feedback.hand_over=null cannot be evaluated: the true error is "
    "onehot(label) - probabilities, so the label would be an input of the model that predicts it"
)


def refuse_labels(why: str) -> ConfigError:
    """The error of an evaluation that would need labels."""
    return ConfigError(
        why,
        "a source without labels, at least from some point of training on",
        "set feedback.hand_over=linear, or choose feedback=self",
    )


@final
class OracleFeedback(FollowsProgress, Feedback):
    """In training signal = w (onehot(y) - p) + (1 - w) p, in evaluation p, [B, C].

    w falls from 1 to 0 along the curve `hand_over` until the share `until` of training is done;
    from then on the signal is the one that evaluations have. Without a hand-over w stays 1 and an
    evaluation raises ConfigError.
    """

    sees_labels: ClassVar[bool] = True

    def __init__(
        self,
        num_classes: int,
        hand_over: Literal["linear", "cosine"] | None = "linear",
        until: float = 0.5,
    ) -> None:
        super().__init__()
        if hand_over not in (None, "linear", "cosine"):
            raise ValueError(
                f"feedback.hand_over must be linear, cosine or null, got {hand_over!r}"
            )
        if not 0 < until <= 1:
            raise ValueError(f"feedback.until must be above 0 and at most 1, got {until}")
        self.out_features = num_classes
        self.hand_over, self.until = hand_over, until
        self.cannot_evaluate = WITHOUT_HAND_OVER if hand_over is None else None

    @property
    def oracle_share(self) -> Tensor:
        """w, [] in 0..1."""
        if self.hand_over is None:
            return self.fraction.new_ones(())
        done = (self.fraction / self.until).clamp(max=1)
        return interpolate(self.hand_over, 1.0, 0.0, done)

    def forward(self, state: PassState) -> Tensor:
        # Checked again here: building a run refuses it as well, but a model can be built without.
        if self.cannot_evaluate is not None:
            raise refuse_labels(self.cannot_evaluate)
        return state.log_probs.exp()

    def teach(self, state: PassState, target: Tensor) -> Tensor:
        probs = state.log_probs.exp()
        error = functional.one_hot(target, self.out_features) - probs
        return self.oracle_share * error + (1 - self.oracle_share) * probs
