"""Two-dimensional toy data: what is predicted, and by which expert, all over the square."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from torch import Tensor

from moe_lab.analysis.collected import Records, Whole, collect
from moe_lab.analysis.csv_files import first_choice
from moe_lab.analysis.plots.run_view import Pixels, RunFigures, RunView
from moe_lab.analysis.plots.style import colours, expert_names, panels, styled
from moe_lab.training.classifier import Classifier

SIDE = 128  # points along a side: every second one of the 256 that a pixel can hold
POINTS_AT_ONCE = 4096
MOST_DRAWN = 1000


def square_records(classifier: Classifier, class_names: Sequence[str]) -> Records:
    """The predictions of a classifier of toy2d on SIDE x SIDE points, rows from bottom to top.

    `target` is all zeros: the points have no true class.
    """

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        shape = (1, -1, 1, 1)
        for pixels in square().split(POINTS_AT_ONCE):
            device = classifier.mean.device
            scaled = pixels.to(device, torch.float32) / 255
            normalised = (scaled - classifier.mean.view(shape)) / classifier.std.view(shape)
            yield normalised, torch.zeros(len(pixels), dtype=torch.int64)

    return collect(classifier, batches(), class_names)


def square() -> Tensor:
    """uint8 images [SIDE * SIDE, 1, 1, 2] of (x, y), y in the outer loop."""
    places = torch.arange(SIDE) * (256 // SIDE)
    y, x = torch.meshgrid(places, places, indexing="ij")
    return torch.stack((x, y), -1).view(-1, 1, 1, 2).to(torch.uint8)


@styled
def decision_regions(toy: Records, points: Pixels, target: Whole) -> Figure:
    """Predicted class, paler where the model is unsure, and first expert of each layer.

    `toy` comes from `square_records`; points are uint8 [B, 1, 1, 2] with their true class [B].
    """
    figure, axes = panels(
        "Decision regions and territories of experts",
        columns=1 + len(toy.layers),
        width=4.6,
        height=4.0,
    )
    confidence = np.exp(toy.log_probs.max(1))
    floor = 1 / len(toy.class_names)
    certain = (confidence - floor) / max(1e-9, 1 - floor)
    paint(axes[0], toy.predicted, certain, toy.class_names, "class")
    axes[0].set_title("Prediction (pale: unsure) and test points")
    for panel, (name, layer) in zip(axes[1:], toy.layers.items(), strict=True):
        share = layer.weights.max(1) / np.maximum(layer.weights.sum(1), 1e-20)
        paint(panel, first_choice(layer), share, expert_names(layer.num_experts), "expert")
        title = "First expert (pale: shared)"
        panel.set_title(title if len(toy.layers) == 1 else f"{name}: {title.lower()}")
    shown = slice(None, MOST_DRAWN)
    x, y = points[shown].reshape(-1, 2).T / 255
    shades = np.array(colours(len(toy.class_names)))[target[shown]]
    axes[0].scatter(x, y, c=shades, s=9, edgecolors="white", linewidths=0.4)
    for panel in axes[1:]:
        panel.scatter(x, y, c="black", s=1.5, alpha=0.35, linewidths=0)
    for panel in axes:
        panel.set(xlabel="x (sides of the square)", ylabel="y", aspect="equal")
    return figure


def paint(
    axes: Axes, kind: Whole, strength: NDArray[np.floating], names: Sequence[str], title: str
) -> None:
    """Each point in the colour of its kind, mixed with white where `strength` [0, 1] is low."""
    palette = [*colours(len(names)), to_rgba("#bbbbbb")]  # the last one: -1, no expert
    shades = np.array(palette)[kind, :3]
    mixed = 1 - (0.2 + 0.55 * strength.clip(0, 1)[:, None]) * (1 - shades)
    picture = mixed.reshape(SIDE, SIDE, 3)
    axes.imshow(picture, origin="lower", extent=(0, 1, 0, 1), interpolation="nearest")
    present = np.unique(kind)
    names = [*names, "none"]
    marks = [
        Line2D([], [], marker="s", linestyle="", color=palette[index], label=names[index])
        for index in present[:24]
    ]
    axes.legend(handles=marks, title=title, loc="upper left", bbox_to_anchor=(1, 1))


def regions_of(run: RunView) -> Figure | None:
    """The decision regions, where predictions over the whole square are known."""
    if run.toy is None or run.images is None:
        return None
    return decision_regions(run.toy, run.images, run.records.target)


RUN_FIGURES: RunFigures = {"decision_regions": regions_of}
