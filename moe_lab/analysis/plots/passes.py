"""Models of several passes: what each pass changes, and how many passes images take."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from moe_lab.analysis.collected import Records
from moe_lab.analysis.plots.pictures import are_pictures, show_picture
from moe_lab.analysis.plots.run_view import Pixels, RunFigures, RunView
from moe_lab.analysis.plots.style import PALETTE, panels, styled

NUM_CHOSEN, NUM_CLASSES_SHOWN = 4, 3


@styled
def passes(records: Records) -> Figure:
    """Accuracy by pass, share of predictions that a pass changed, and norm of the modulation."""
    assert records.pass_log_probs is not None
    predictions = records.pass_log_probs.argmax(2)  # [T, B]
    numbers = np.arange(1, len(predictions) + 1)
    norm = records.modulation_norm
    figure, axes = panels("What the passes do", columns=2 if norm is None else 3, width=3.8)
    accuracy = (predictions == records.target).mean(1)
    axes[0].plot(numbers, accuracy, "o-", color=PALETTE[0])
    for number, value in zip(numbers, accuracy, strict=True):
        axes[0].annotate(
            f"{value:.2%}", (number, value), (0, 5), textcoords="offset points", ha="center",
            fontsize=7, bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5},
        )  # fmt: skip
    axes[0].margins(0.14, 0.2)
    axes[0].set(title="Accuracy", ylabel="share of images classified correctly")
    changed = (predictions[1:] != predictions[:-1]).mean(1)
    axes[1].bar(numbers[1:], changed, color=PALETTE[1], width=0.6)
    axes[1].set(title="Predictions changed by the pass", ylabel="share of images")
    if norm is not None:
        low, middle, high = np.quantile(norm, [0.25, 0.5, 0.75], axis=1)
        axes[2].fill_between(numbers, low, high, color=PALETTE[2], alpha=0.25, linewidth=0)
        axes[2].plot(numbers, middle, "o-", color=PALETTE[2])
        axes[2].set(title="Modulation: median and quartiles", ylabel="root mean square added")
    for panel in axes:
        panel.set(xlabel="pass", xlim=(0.5, len(predictions) + 0.5))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(True, axis="y")
    return figure


@styled
def pass_probabilities(records: Records, images: Pixels | None = None) -> Figure:
    """Class probabilities by pass of the images whose prediction moved most, and their pictures."""
    assert records.pass_log_probs is not None
    probs = np.exp(records.pass_log_probs.astype(np.float64))  # [T, B, C]
    rows = moved_most(probs)
    shown = images is not None and are_pictures(images)
    figure, axes = panels("Class probability by pass", columns=len(rows), width=3.0, height=3.0)
    numbers = np.arange(1, len(probs) + 1)
    for panel, row in zip(axes, rows, strict=True):
        course = probs[:, row]  # [T, C]
        for rank, label in enumerate(np.argsort(-course.max(0), kind="stable")[:3]):
            name, look = records.class_names[label], "o-" if label == records.target[row] else "o:"
            panel.plot(numbers, course[:, label], look, color=PALETTE[rank], label=name)
        true, prediction = records.class_names[records.target[row]], records.predicted[row]
        panel.set_title(f"image {row}: true {true}, predicted {records.class_names[prediction]}")
        panel.set(xlabel="pass", ylim=(-0.03, 1.35), yticks=[0, 0.25, 0.5, 0.75, 1])
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.legend(loc="upper left", ncols=NUM_CLASSES_SHOWN, columnspacing=0.8)
        if shown:
            assert images is not None
            inset = panel.inset_axes((0.8, 0.82, 0.19, 0.19))
            show_picture(inset, images[row])
            inset.set_axis_off()
    axes[0].set_ylabel("probability (solid: true class)")
    return figure


def moved_most(probs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Images [B] with the largest total variation between first and last pass, at most four."""
    distance = abs(probs[-1] - probs[0]).sum(1) / 2
    return np.argsort(-distance, kind="stable")[:NUM_CHOSEN].astype(np.int64)


@styled
def steps_taken(records: Records) -> Figure:
    """How many passes images took, of those classified right and wrong."""
    assert records.steps is not None
    figure, (panel,) = panels("Passes taken by an image", columns=1, width=5.4)
    right, wrong = records.steps[records.correct], records.steps[~records.correct]
    low, high = float(records.steps.min()), float(records.steps.max())
    bins = np.linspace(low, high if high > low else low + 1, 31).tolist()
    looks: tuple[dict[str, Any], ...] = (
        {"color": PALETTE[5]},
        {"color": PALETTE[3], "histtype": "step", "linewidth": 1.6},
    )
    for values, name, look in zip((right, wrong), ("right", "wrong"), looks, strict=True):
        if len(values):
            share = np.full(len(values), 1 / len(values))
            label = f"classified {name}, mean {values.mean():.2f}"
            panel.hist(values, bins, weights=share, label=label, **look)
    panel.set(xlabel="passes (a remainder counts in part)", ylabel="share of the group")
    panel.legend()
    return figure


def takes_passes(records: Records) -> bool:
    """Whether there is more than one pass to compare."""
    return records.pass_log_probs is not None and len(records.pass_log_probs) > 1


def steps_of(run: RunView) -> Figure | None:
    """The steps of each image, where they differ."""
    steps = run.records.steps
    return steps_taken(run.records) if steps is not None and steps.min() < steps.max() else None


RUN_FIGURES: RunFigures = {
    "passes": lambda run: passes(run.records) if takes_passes(run.records) else None,
    "pass_probabilities": lambda run: (
        pass_probabilities(run.records, run.images) if takes_passes(run.records) else None
    ),
    "steps_taken": steps_of,
}
