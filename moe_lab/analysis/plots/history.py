"""How training went: loss, accuracy and the terms of the loss by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from moe_lab.analysis.plots.run_view import Rows, RunFigures
from moe_lab.analysis.plots.style import PALETTE, colours, panels, styled


@styled
def training_curves(rows: Rows) -> Figure:
    """Loss and accuracy on both splits, and each unweighted loss term, by optimizer step."""
    rows = until_last_epoch(rows)
    terms = term_names(rows)
    figure, axes = panels("Training", columns=3 if terms else 2)
    draw(axes[0], rows, {"train_epoch_loss": "training, all terms", "val_loss": "validation"})
    axes[0].set(title="Loss", ylabel="loss (nats)")
    draw(axes[1], rows, {"train_accuracy": "training", "val_accuracy": "validation"})
    axes[1].set(title="Accuracy", ylabel="share of images classified correctly")
    if terms:
        draw(axes[2], rows, {f"train_{name}": name for name in terms}, marker="")
        axes[2].set(title="Loss terms, unweighted", ylabel="value of the term")
        seen = np.concatenate([steps_and_values(rows, f"train_{name}")[1] for name in terms])
        if seen.size and seen.min() > 0 and seen.max() / seen.min() > 10:
            axes[2].set_yscale("log")
    number_steps(axes, rows)
    return figure


def until_last_epoch(rows: Rows) -> Rows:
    """Without the validation of the best weights, which is logged once training is over."""
    ends = [row["step"] for row in rows if "train_epoch_loss" in row]
    return [row for row in rows if not ends or row["step"] <= ends[-1]]


def steps_and_values(rows: Rows, key: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps and values of one logged name; of a step that was logged again, the later value."""
    found = {row["step"]: row[key] for row in rows if row.get(key) is not None}
    steps = sorted(found)
    return np.array(steps, dtype=np.int64), np.array([found[step] for step in steps], dtype=float)


def term_names(rows: Rows) -> list[str]:
    """The loss terms: what is logged beside the total loss of a step."""
    keys = {key: None for row in rows if "train_loss" in row for key in row}
    terms = (key.removeprefix("train_") for key in keys if key.startswith("train_"))
    return [name for name in terms if name not in ("loss", "epoch_loss", "accuracy")]


def number_steps(axes: Iterable[Axes], rows: Rows) -> None:
    """Steps from 0 below each panel and, where the end of an epoch was logged, epochs above."""
    last = max((row["step"] + 1 for row in rows), default=1)
    ends = [row for row in rows if "train_epoch_loss" in row and row.get("epoch") is not None]
    for panel in axes:
        panel.set(xlabel="optimizer step", xlim=(0, 1.03 * last))
        if ends:
            add_epochs(panel, (ends[-1]["step"] + 1) / (ends[-1]["epoch"] + 1))


def add_epochs(axes: Axes, per_epoch: float) -> None:
    """A second scale above the panel that counts epochs."""

    def epochs(step: NDArray[np.float64]) -> NDArray[np.float64]:
        return step / per_epoch

    def steps(epoch: NDArray[np.float64]) -> NDArray[np.float64]:
        return epoch * per_epoch

    scale = axes.secondary_xaxis("top", functions=(epochs, steps))  # type: ignore[arg-type]
    scale.set_xlabel("epochs", fontsize=8)
    scale.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    scale.spines["top"].set_visible(False)


def draw(axes: Axes, rows: Rows, names: Mapping[str, str], marker: str = "o") -> None:
    """One labelled line for each logged name that is there."""
    shades = PALETTE if len(names) <= len(PALETTE) else colours(len(names))
    for (key, label), shade in zip(names.items(), shades, strict=False):
        steps, values = steps_and_values(rows, key)
        if len(steps):
            # A line of one point is invisible without its marker.
            shown = marker if len(steps) > 1 else "o"
            axes.plot(steps, values, color=shade, label=label, marker=shown, markersize=3)
    axes.grid(True)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


RUN_FIGURES: RunFigures = {
    "training_curves": lambda run: training_curves(run.history) if run.history else None,
}
