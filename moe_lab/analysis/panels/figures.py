"""A few figures and tables of one evaluation, drawn from the sums that its metrics keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moe_lab.analysis.plots.style import MUTED, PALETTE, expert_names, heat_map, panels, styled
from moe_lab.metrics.sums import ratio
from moe_lab.training.loggers import DataTable


def draw(evaluated: Mapping[str, Any], names: Sequence[str]) -> dict[str, Figure]:
    """The figures by name; those of a layer start with its name where there are several."""
    drawn = {"confusion": draw_confusion(evaluated["confusion"], names)}
    for prefix, layer in by_prefix(evaluated["layers"]):
        drawn[f"{prefix}load"] = draw_load(layer["load"])
        drawn[f"{prefix}class_share"] = draw_class_share(layer["class_share"], names)
    return drawn


def routing_tables(layers: Mapping[str, Any], names: Sequence[str]) -> dict[str, DataTable]:
    """Images by first expert (rows) and class (columns) of each layer, with the expert's load."""
    return {
        f"{prefix}routing": DataTable(
            ["expert", "load", *names],
            [
                [str(expert), float(share), *counts]
                for expert, (share, counts) in enumerate(
                    zip(layer["load"], layer["first"], strict=True)
                )
            ],
        )
        for prefix, layer in by_prefix(layers)
    }


def by_prefix(layers: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Each layer with what its names start with."""
    several = len(layers) > 1
    return [(f"{name}_" if several else "", layer) for name, layer in layers.items()]


@styled
def draw_confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> Figure:
    """Share of the images of a true class that got each answer, from counts [C, C]."""
    table = np.asarray(counts)
    side = min(10.0, 2 + 0.42 * max(4, len(names)))
    figure, axes = panels("Answers by true class", 1, width=max(5.4, side + 1), height=side)
    share = ratio(table, table.sum(1, keepdims=True))
    heat_map(axes[0], share, names, names, "share of the true class", limits=(0, 1))
    axes[0].set(xlabel="answered class", ylabel="true class")
    return figure


@styled
def draw_load(load: Sequence[float]) -> Figure:
    """Share of all selections that each expert got [E], beside equal shares."""
    width = min(12.0, 3 + 0.25 * len(load))
    figure, axes = panels("Load of the experts", 1, width=width)
    axes[0].bar(range(len(load)), load, color=PALETTE[0])
    axes[0].axhline(1 / len(load), color=MUTED, linestyle="--", linewidth=1)
    axes[0].set(title="dashed: equal shares", xlabel="expert", ylabel="share of all selections")
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
