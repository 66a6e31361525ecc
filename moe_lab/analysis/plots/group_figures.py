"""Several runs side by side: spread over seeds, and accuracy against what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from moe_lab.analysis.pareto import pareto_front
from moe_lab.analysis.plots.style import MUTED, colours, panels, styled

Groups = Mapping[str, Sequence[Mapping[str, Any]]]  # name of a group -> its summaries
COST_AXES = {
    "params_total": "parameters",
    "flops_per_image": "active FLOPs per image",
    "train_seconds": "training time (s)",
}
MARKERS = "osD^vPX*<>"


@styled
def box_plots(groups: Groups, key: str = "test_accuracy", label: str = "") -> Figure:
    """One value of the summary over the runs of each group; every run is a dot."""
    kept = {name: values(runs, key) for name, runs in groups.items()}
    kept = {name: found for name, found in kept.items() if len(found)}
    label = label or key.replace("_", " ")
    figure, (panel,) = panels(
        f"{label[:1].upper()}{label[1:]} over runs",
        columns=1, width=6.5, height=1.0 + 0.42 * max(2, len(kept)),
    )  # fmt: skip
    if not kept:
        return figure
    boxes = panel.boxplot(
        list(kept.values()), orientation="horizontal", widths=0.55, showfliers=False,
        patch_artist=True, medianprops={"color": "black"},
        tick_labels=[f"{name} (n = {len(found)})" for name, found in kept.items()],
    )  # fmt: skip
    shades = colours(len(kept))
    for box, shade in zip(boxes["boxes"], shades, strict=True):
        box.set(facecolor=(*shade[:3], 0.25), edgecolor=shade)
    for place, (found, shade) in enumerate(zip(kept.values(), shades, strict=True), start=1):
        # Spread across the box, evenly rather than at random, so that the figure is reproducible.
        offsets = np.linspace(-0.14, 0.14, len(found)) if len(found) > 1 else np.zeros(1)
        panel.scatter(found, place + offsets, s=14, color=shade, zorder=3, linewidths=0)
    panel.invert_yaxis()
    panel.set_xlabel(label)
    panel.grid(True, axis="x")
    return figure


@styled
def accuracy_against_cost(groups: Groups, accuracy: str = "test_accuracy") -> Figure:
    """Accuracy over parameters, FLOPs and time, log scales; a line joins the runs that no other
    beats in both.
    """
    figure, axes = panels(
        "Accuracy and what it costs", columns=len(COST_AXES), width=4.0, height=3.6
    )
    groups = {name: runs for name, runs in groups.items() if len(values(runs, accuracy))}
    shades = colours(len(groups))
    for panel, (cost, label) in zip(axes, COST_AXES.items(), strict=True):
        everything = []
        for index, (name, runs) in enumerate(groups.items()):
            points = pairs(runs, cost, accuracy)
            everything.append(points)
            panel.scatter(
                points[:, 0], points[:, 1], color=shades[index], s=28, label=name,
                marker=MARKERS[index % len(MARKERS)], alpha=0.85, linewidths=0,
            )  # fmt: skip
        front = front_of(np.concatenate(everything)) if everything else np.empty((0, 2))
        panel.plot(
            *front.T, color=MUTED, linewidth=1, linestyle="--", zorder=0, label="Pareto front"
        )
        panel.set(xscale="log", xlabel=label)
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter(
            EngFormatter(sep="") if cost != "train_seconds" else "{x:g}"
        )
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(True, which="major")
    axes[0].set_ylabel(accuracy.replace("_", " "))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper")
    return figure


def values(runs: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    """One value of each summary that has it."""
    return np.array([run[key] for run in runs if run.get(key) is not None], dtype=float)


def pairs(runs: Sequence[Mapping[str, Any]], cost: str, accuracy: str) -> NDArray[np.float64]:
    """(cost, accuracy) of each summary that has both, the cost above 0, [n, 2]."""
    found = [
        (run[cost], run[accuracy])
        for run in runs
        if run.get(accuracy) is not None and (run.get(cost) or 0) > 0
    ]
    return np.array(found, dtype=float).reshape(-1, 2)


def front_of(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points (cost, accuracy) on the Pareto front, by rising cost: [n, 2] -> [m, 2]."""
    kept = pareto_front(points[:, 0].tolist(), points[:, 1].tolist())
    return np.unique(points[np.array(kept, dtype=bool)], axis=0)
