"""Figures of one evaluation, drawn from the sums that its metrics keep; no image is read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moe_lab.analysis.plots.confusion import draw_confusion
from moe_lab.analysis.plots.style import MUTED, PALETTE, expert_names, heat_map, panels, styled


def draw_evaluation(evaluated: Mapping[str, Any], names: Sequence[str]) -> dict[str, Figure]:
    """The figures of the tables of an evaluation, by name: `confusion`, `block_1/load`."""
    drawn = {"confusion": draw_confusion(evaluated["confusion"], names)}
    layers = evaluated["layers"]
    for name, layer in layers.items():
        folder = f"{name}/" if len(layers) > 1 else ""
        drawn[f"{folder}load"] = draw_load(layer["load"])
        drawn[f"{folder}class_share"] = draw_class_share(layer["class_share"], names)
    return drawn


@styled
def draw_load(load: Sequence[float]) -> Figure:
    """Load of each expert, its share of all weight [E], beside equal loads."""
    width = min(12.0, 3 + 0.25 * len(load))
    figure, axes = panels("Load of the experts", 1, width=width)
    axes[0].bar(range(len(load)), load, color=PALETTE[0])
    axes[0].axhline(1 / len(load), color=MUTED, linestyle="--", linewidth=1)
    axes[0].set(title="dashed: equal loads", xlabel="expert", ylabel="share of all weight")
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@styled
def draw_class_share(share: Sequence[Sequence[float]], names: Sequence[str]) -> Figure:
    """P(class | first expert), [E, C]; an expert that is first for no image is grey."""
    experts = expert_names(len(share))
    width, height = 3 + 0.42 * max(4, len(names)), 1.6 + 0.3 * max(3, len(experts))
    title = "What the images of each expert are"
    figure, axes = panels(title, 1, width=min(12.0, width), height=min(10.0, height))
    heat_map(axes[0], share, experts, names, "share of the expert's images", limits=(0, 1))
    axes[0].set(xlabel="true class", ylabel="first expert")
    return figure
