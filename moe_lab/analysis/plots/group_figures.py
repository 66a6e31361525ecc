"""Several runs side by side: spread over seeds, and accuracy against what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from moe_lab.analysis.plots.style import MUTED, colours, panels, styled

Groups = Mapping[str, Sequence[Mapping[str, Any]]]  # name of a group -> its summaries
MARKERS = "osD^vPX*<>"


@dataclass(frozen=True)
class CostPoint:
    """One group: its mean over seeds with an interval, its mean costs, and the costs at which it is
    on the Pareto front of the means.
    """

    name: str
    mean: float
    interval: tuple[float, float] | None
    costs: Mapping[str, float | None]
    on_front: Mapping[str, bool | None]


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
def accuracy_against_cost(
    points: Sequence[CostPoint], costs: Mapping[str, str], label: str = "test accuracy"
) -> Figure:
    """The mean of each group over each of its costs, log scales, with its interval as a bar; a line
    joins the groups on the Pareto front. `costs` are the keys with their labels.
    """
    figure, axes = panels("Accuracy and what it costs", columns=len(costs), width=4.0, height=3.6)
    shades = colours(len(points))
    for panel, (key, title) in zip(axes, costs.items(), strict=True):
        shown = [(n, point) for n, point in enumerate(points) if (point.costs[key] or 0) > 0]
        for n, point in shown:
            low, high = point.interval or (point.mean, point.mean)
            panel.errorbar(
                [point.costs[key] or 0.0], [point.mean],
                yerr=[[point.mean - low], [high - point.mean]], label=point.name,
                color=shades[n], marker=MARKERS[n % len(MARKERS)], markersize=5, linewidth=1.2,
                linestyle="none",
            )  # fmt: skip
        front = sorted((p.costs[key] or 0.0, p.mean) for _, p in shown if p.on_front[key])
        panel.plot(
            *np.array(front).reshape(-1, 2).T, color=MUTED, linewidth=1, linestyle="--", zorder=0,
            label="Pareto front",
        )  # fmt: skip
        panel.set(xscale="log", xlabel=title)
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        seconds = key == "train_seconds"
        panel.xaxis.set_major_formatter("{x:g}" if seconds else EngFormatter(sep=""))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(True, which="major")
    axes[0].set_ylabel(label)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper")
    return figure


def values(runs: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    """One value of each summary that has it."""
    return np.array([run[key] for run in runs if run.get(key) is not None], dtype=float)
