"""How good the predictions are: what is taken for what, and whether confidence can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix

from moe_lab.analysis.collected import Records
from moe_lab.analysis.plots.run_view import RunFigures
from moe_lab.analysis.plots.style import MUTED, PALETTE, heat_map, panels, styled
from moe_lab.metrics.classification import NUM_BINS


def confusion(records: Records) -> Figure:
    """The confusion of all images."""
    names = list(records.class_names)
    counts = confusion_matrix(records.target, records.predicted, labels=range(len(names)))
    return draw_confusion(counts, names)


@styled
def draw_confusion(counts: ArrayLike, names: Sequence[str]) -> Figure:
    """Share of the images of a true class that got each prediction, from counts [C, C]; rows sum
    to 1.
    """
    table = np.asarray(counts)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    side = min(10.0, 2.0 + 0.42 * max(4, len(names)))
    correct = np.trace(table) / max(1, table.sum())
    title = f"Predictions by true class; {correct:.2%} of all images correct"
    figure, axes = panels(title, columns=1, width=max(5.4, side + 1), height=side)
    heat_map(axes[0], share, names, names, "share of the true class", limits=(0, 1))
    axes[0].set(xlabel="predicted class", ylabel="true class")
    return figure


@styled
def reliability(records: Records) -> Figure:
    """Accuracy by confidence in 15 bins of equal width, with the expected calibration error (Guo
    et al. 2017, equation 3).
    """
    confidence = np.exp(records.log_probs.max(1).astype(np.float64))
    edges = np.linspace(0, 1, NUM_BINS + 1)
    place = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, NUM_BINS - 1)
    images = np.bincount(place, minlength=NUM_BINS)
    filled = np.maximum(images, 1)
    accuracy = np.bincount(place, records.correct, NUM_BINS) / filled
    believed = np.bincount(place, confidence, NUM_BINS) / filled
    error = float((images * abs(accuracy - believed)).sum() / images.sum())
    title = f"Calibration: expected calibration error {error:.3f}"
    figure, (bars, count) = panels(title, columns=1, rows=2, width=5.2, height=2.6)
    width = 1 / NUM_BINS
    look: dict[str, Any] = {"width": width, "align": "edge", "edgecolor": "white", "linewidth": 0.5}
    bars.bar(edges[:-1], accuracy, color=PALETTE[0], label="accuracy", **look)
    has = images > 0
    bars.plot(
        believed[has],
        accuracy[has],
        "o",
        color=PALETTE[3],
        markersize=3,
        label="at its mean confidence",
    )
    bars.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="calibrated")
    bars.set(ylabel="share classified correctly", xlim=(0, 1), ylim=(0, 1.02))
    bars.legend(loc="upper left")
    count.bar(edges[:-1], images, color=PALETTE[5], **look)
    count.set(xlabel="confidence: largest class probability", ylabel="images (log)", xlim=(0, 1))
    count.set_yscale("log")
    return figure


RUN_FIGURES: RunFigures = {
    "confusion": lambda run: confusion(run.records),
    "reliability": lambda run: reliability(run.records),
}
