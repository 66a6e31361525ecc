"""A tree of gates: how much of the weight passes each node, and which class it mostly serves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from moe_lab.analysis.collected import LayerRecords, Records
from moe_lab.analysis.csv_files import weight_share
from moe_lab.analysis.plots.run_view import LayerFigures, LayerView
from moe_lab.analysis.plots.style import MUTED, blank, colours, styled

MOST_LABELLED = 32  # leaves that still have room for words


@styled
def tree_routing(records: Records, layer: LayerRecords, branching: Sequence[int]) -> Figure:
    """Nodes as wide as their share of all weight, coloured by the class that has most of it."""
    if math.prod(branching) != layer.num_experts:
        raise ValueError(f"branching {list(branching)} does not make {layer.num_experts} leaves")
    levels = mass_by_level(records, layer, branching)
    width = min(16.0, max(6.5, 0.95 * layer.num_experts))
    figure = blank("Weight in the tree of gates", width, 1.25 * len(levels) + 1)
    axes = figure.subplots()
    shades = colours(len(records.class_names))
    dominant = {int(cells.argmax()) for level in levels for cells in level if cells.sum() > 0}
    for depth, level in enumerate(levels):
        places = positions(len(level))
        for node, cells in enumerate(level):
            mass, label = float(cells.sum()), int(cells.argmax())
            if depth:
                parent = positions(len(levels[depth - 1]))[node // branching[depth - 1]]
                axes.plot(
                    [parent, places[node]], [1 - depth, -depth], color=MUTED, zorder=1,
                    linewidth=0.3 + 10 * mass,
                )  # fmt: skip
            shade = shades[label] if mass > 0 else "#dddddd"
            axes.scatter(places[node], -depth, s=25 + 900 * mass, color=shade, zorder=2)
            if len(level) <= MOST_LABELLED:
                name = records.class_names[label] if mass > 0 else "-"
                purity = cells[label] / mass if mass > 0 else 0.0
                axes.annotate(
                    f"{mass:.1%}\n{name}: {purity:.0%}", (places[node], -depth), (0, -18),
                    textcoords="offset points", ha="center", va="top", fontsize=7, zorder=3,
                    bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.8,
                          "linewidth": 0},
                )  # fmt: skip
    marks = [
        Line2D([], [], marker="o", linestyle="", color=shades[label],
               label=records.class_names[label])
        for label in sorted(dominant)[:MOST_LABELLED]
    ]  # fmt: skip
    axes.legend(handles=marks, title="class with most weight", loc="center left",
                bbox_to_anchor=(1, 0.5))  # fmt: skip
    axes.set(xlim=(-0.02, 1.02), ylim=(0.5 - len(levels), 0.3), xticks=[])
    names = ["root", *(f"level {depth}" for depth in range(1, len(levels) - 1)), "experts"]
    axes.set_yticks([-depth for depth in range(len(levels))], names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def mass_by_level(
    records: Records, layer: LayerRecords, branching: Sequence[int]
) -> list[NDArray[np.float64]]:
    """For each level, root first, the share of all weight by node and true class, [nodes, C]."""
    share = weight_share(layer)
    leaves = np.zeros((layer.num_experts, len(records.class_names)))
    np.add.at(leaves.T, records.target, share)
    leaves /= max(float(leaves.sum()), 1e-12)
    levels = [leaves]
    for children in reversed(branching):
        levels.insert(0, levels[0].reshape(-1, children, leaves.shape[1]).sum(1))
    return levels


def positions(count: int) -> NDArray[np.float64]:
    """Where the nodes of a level stand from left to right, in 0..1."""
    return (np.arange(count) + 0.5) / count


def branching_of(view: LayerView) -> Sequence[int] | None:
    """The branching of the tree that routes this layer, if one does."""
    if view.run.model is None:
        return None
    name = view.name
    for path, module in view.run.model.named_modules():
        branching = getattr(module, "branching", None)
        own = path == name or path.endswith(f".{name}") or path.startswith(f"{name}.")
        if branching and own and getattr(module, "num_experts", None) == view.layer.num_experts:
            return list(branching)
    return None


def tree_of(view: LayerView) -> Figure | None:
    """The weight at each node, where the router is a tree."""
    branching = branching_of(view)
    return None if branching is None else tree_routing(view.run.records, view.layer, branching)


LAYER_FIGURES: LayerFigures = {"tree_routing": tree_of}
