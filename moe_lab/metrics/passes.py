"""What each pass of an iterative model adds to its prediction."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from moe_lab.metrics.sums import OutputStatistics, Totals
from moe_lab.outputs import IterativeOutput, Output


class PassStatistics(OutputStatistics):
    """Accuracy and confidence of every pass, and what it changes in the predictions before it.

    Passes count from 1. `pass_t_repaired` and `pass_t_broken` are shares of all images, so that
    their difference is what the pass adds to accuracy. A halted image keeps its prediction, and so
    agrees.
    """

    correct: Tensor  # [T] images
    confidence: Tensor  # [T] summed largest probability
    agree: Tensor  # [T] images classified as in the pass before; 0 in the first
    repaired: Tensor  # [T] images wrong in the pass before and right now; 0 in the first
    broken: Tensor  # [T] images right in the pass before and wrong now; 0 in the first
    norm: Tensor  # [T] summed modulation norm
    normed: Tensor  # [] images with a modulation norm
    images: Tensor  # []

    def __init__(self, num_passes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_passes = num_passes
        counts = {
            name: torch.zeros(num_passes, dtype=torch.int64)
            for name in ("correct", "agree", "repaired", "broken")
        }
        self.keep(
            **counts,
            confidence=torch.zeros(num_passes),
            norm=torch.zeros(num_passes),
            normed=torch.zeros((), dtype=torch.int64),
            images=torch.zeros((), dtype=torch.int64),
        )

    @classmethod
    def sized_for(cls, output: Output, num_classes: int) -> Self | None:
        return cls(len(output.pass_log_probs)) if isinstance(output, IterativeOutput) else None

    def add(self, output: Output, target: Tensor) -> None:
        assert isinstance(output, IterativeOutput)
        self.update(output, target)

    def update(self, output: IterativeOutput, target: Tensor) -> None:
        """Add a batch of passes [T, B, C] with its true labels [B]."""
        best, predicted = output.pass_log_probs.detach().float().max(-1)  # [T, B]
        right = predicted == target
        before, now = right[:-1], right[1:]
        self.correct = self.correct + right.sum(1)
        self.confidence = self.confidence + best.exp().sum(1)
        self.agree = self.agree + after_first(predicted[1:] == predicted[:-1])
        self.repaired = self.repaired + after_first(now & ~before)
        self.broken = self.broken + after_first(before & ~now)
        if output.modulation_norm is not None:
            self.norm = self.norm + output.modulation_norm.detach().float().sum(1)
            self.normed = self.normed + len(target)
        self.images = self.images + len(target)

    def values(self, totals: Totals) -> dict[str, float]:
        shares = self.by_pass(totals)
        values = {}
        for name, per_pass in shares.items():
            for number, value in enumerate(per_pass, 1):
                if number > 1 or name not in ("agreement", "repaired", "broken"):
                    values[f"pass_{number}_{name}"] = float(value)
        if self.num_passes > 1:
            values["pass_agreement"] = sum(shares["agreement"][1:]) / (self.num_passes - 1)
        return values

    def tables_of(self, totals: Totals) -> dict[str, Any]:
        return {"passes": self.by_pass(totals)}

    def by_pass(self, totals: Totals) -> dict[str, list[float]]:
        """Each quantity as a list over the passes."""
        images = max(1, int(totals["images"]))
        tables = {
            "accuracy": totals["correct"] / images,
            "confidence": totals["confidence"] / images,
            "agreement": totals["agree"] / images,
            "repaired": totals["repaired"] / images,
            "broken": totals["broken"] / images,
        }
        if totals["normed"] > 0:
            tables["modulation_norm"] = totals["norm"] / int(totals["normed"])
        return {name: table.tolist() for name, table in tables.items()}


class StepStatistics(OutputStatistics):
    """How many passes a model that halts by itself takes on average."""

    steps: Tensor  # []
    images: Tensor  # []

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep(steps=torch.zeros(()), images=torch.zeros((), dtype=torch.int64))

    @classmethod
    def sized_for(cls, output: Output, num_classes: int) -> Self | None:
        return cls() if getattr(output, "steps", None) is not None else None

    def add(self, output: Output, target: Tensor) -> None:
        self.update(output.steps)  # type: ignore[attr-defined]

    def update(self, steps: Tensor) -> None:
        """Add the steps of a batch [B]."""
        self.steps = self.steps + steps.detach().float().sum()
        self.images = self.images + len(steps)

    def values(self, totals: Totals) -> dict[str, float]:
        return {"mean_steps": float(totals["steps"]) / max(1, int(totals["images"]))}


def after_first(happened: Tensor) -> Tensor:
    """Images by pass, with 0 for the first, which has none before it: [T - 1, B] -> [T]."""
    counts = happened.sum(1)
    return torch.cat([counts.new_zeros(1), counts])
