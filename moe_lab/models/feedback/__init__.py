"""What the modulators read about the pass before: PassState -> signal [B, F]."""

from moe_lab.models.feedback.base import Feedback, PassState
from moe_lab.models.feedback.constant import ConstantFeedback
from moe_lab.models.feedback.hidden import HiddenFeedback
from moe_lab.models.feedback.oracle import OracleFeedback, refuse_labels
from moe_lab.models.feedback.predicted_error import PredictedErrorFeedback
from moe_lab.models.feedback.self import SelfFeedback
from moe_lab.models.feedback.uncertainty import UncertaintyFeedback

__all__ = [
    "ConstantFeedback",
    "Feedback",
    "HiddenFeedback",
    "OracleFeedback",
    "PassState",
    "PredictedErrorFeedback",
    "SelfFeedback",
    "UncertaintyFeedback",
    "refuse_labels",
]
