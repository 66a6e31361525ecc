"""How good the predictions are, and how far their confidence can be trusted."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moe_lab.metrics.sums import OutputStatistics, Totals, add_up, ratio
from moe_lab.outputs import Output

NUM_BINS = 15  # of confidence, as in Guo et al. 2017
TOP_K = 5


class ClassificationStatistics(OutputStatistics):
    """Accuracy, loss, top-5 accuracy, precision, recall, F1, calibration error and confusion."""

    confusion: Tensor  # [C, C] images by true class (row) and predicted class (column)
    loss: Tensor  # [] summed negative log-likelihood
    in_top: Tensor  # [] images whose class is among the five likeliest
    bins: Tensor  # [NUM_BINS, 3] images, summed confidence and correct predictions by confidence

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.keep(
            confusion=torch.zeros(num_classes, num_classes, dtype=torch.int64),
            loss=torch.zeros(()),
            in_top=torch.zeros((), dtype=torch.int64),
            bins=torch.zeros(NUM_BINS, 3),
        )

    @classmethod
    def sized_for(cls, output: Output, num_classes: int) -> Self:
        return cls(num_classes)

    def add(self, output: Output, target: Tensor) -> None:
        self.update(output.log_probs, target)

    def update(self, log_probs: Tensor, target: Tensor) -> None:
        """Add a batch: log-probabilities [B, C] with true labels [B]."""
        log_probs = log_probs.detach().float()
        best, predicted = log_probs.max(-1)  # [B]
        cell = target * self.num_classes + predicted
        counts = add_up(cell, torch.ones_like(cell), self.confusion.numel())
        self.confusion = self.confusion + counts.view_as(self.confusion)
        self.loss = self.loss - log_probs.gather(1, target[:, None]).sum()
        if self.num_classes > TOP_K:
            top = log_probs.topk(TOP_K).indices
            self.in_top = self.in_top + (top == target[:, None]).sum()
        confidence = best.exp()
        # Bins are open on the left (Guo et al. 2017, section 2), so that certainty is in the last.
        edges = torch.linspace(0, 1, NUM_BINS + 1, device=confidence.device)[1:-1]
        seen = torch.stack(
            [torch.ones_like(confidence), confidence, (predicted == target).float()], -1
        )
        self.bins = self.bins + add_up(torch.bucketize(confidence, edges), seen, NUM_BINS)

    def values(self, totals: Totals) -> dict[str, float]:
        confusion = totals["confusion"]
        images = max(1, int(confusion.sum()))
        values = {
            "accuracy": float(np.trace(confusion)) / images,
            "loss": float(totals["loss"]) / images,
            **precision_and_recall(confusion),
            "calibration_error": calibration_error(totals["bins"].astype(np.float64)),
        }
        if self.num_classes > TOP_K:
            values["top_5_accuracy"] = int(totals["in_top"]) / images
        return values

    def tables_of(self, totals: Totals) -> dict[str, Any]:
        count, confidence, correct = totals["bins"].astype(np.float64).T
        return {
            "confusion": totals["confusion"].tolist(),
            "calibration": {
                "images": count.tolist(),
                "confidence": ratio(confidence, count).tolist(),
                "accuracy": ratio(correct, count).tolist(),
            },
        }


def precision_and_recall(confusion: NDArray[np.integer]) -> dict[str, float]:
    """Means over the classes that occur among labels or predictions; 0 for a class where undefined.

    Rows of the confusion [C, C] are true classes, columns are predicted ones.
    """
    right = np.diag(confusion)
    predicted, true = confusion.sum(0), confusion.sum(1)
    occurs = predicted + true > 0
    scores = {
        "precision": ratio(right, predicted),
        "recall": ratio(right, true),
        "f1": ratio(2 * right, predicted + true),
    }
    return {
        name: float(np.nan_to_num(score[occurs]).mean()) if occurs.any() else 0.0
        for name, score in scores.items()
    }


def calibration_error(bins: NDArray[np.float64]) -> float:
    """ECE: the gap between confidence and accuracy, weighted by images (Guo et al. 2017, eq. 3)."""
    count, confidence, correct = bins.T
    return float(np.abs(correct - confidence).sum() / max(1.0, count.sum()))
