"""Cross-entropy with label smoothing (Szegedy et al. 2016, section 7)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from moe_lab.losses.term import Term
from moe_lab.outputs import Output


class CrossEntropy(Term):
    """-(1 - s) log p[target] - s mean_c log p[c], averaged over images, s = label_smoothing."""

    judges_prediction: ClassVar[bool] = True

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        # log_probs are already normalised: cross_entropy would apply a second softmax.
        log_probs = output.log_probs.float()
        likelihood = functional.nll_loss(log_probs, target)
        if self.label_smoothing == 0:
            return likelihood
        smooth = -log_probs.mean()  # over classes and images: the labels' uniform part
        return (1 - self.label_smoothing) * likelihood + self.label_smoothing * smooth
