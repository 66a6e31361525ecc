"""The results of a study as one picture: a panel for each part, mean and interval for each row."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moe_lab.analysis.plots.style import MUTED, PALETTE, blank, styled


@styled
def forest(result: dict[str, Any]) -> Figure:
    """Rows from top to bottom as in the table; small dots are seeds, bars 95 % intervals."""
    parts = result["parts"]
    heights = [len(part["rows"]) + 1.5 for part in parts]
    figure = blank(result["title"], 7.5, 0.6 + 0.24 * sum(heights))
    axes = figure.subplots(len(parts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, part in zip(axes, parts, strict=True):
        draw_part(axis, part)
    axes[-1].set_xlabel("test accuracy, %")
    return figure


def draw_part(axis: Axes, part: dict[str, Any]) -> None:
    rows = part["rows"]
    for place, row in enumerate(rows):
        seeds = list(row["accuracies"].values())
        # Below the bar, which would cover them.
        axis.scatter(seeds, [place + 0.28] * len(seeds), s=9, color=MUTED, linewidths=0, zorder=2)
        if row["interval"] is not None:
            axis.plot(row["interval"], [place, place], color=PALETTE[0], linewidth=2, zorder=3)
        axis.scatter([row["mean"]], [place], s=26, color=PALETTE[0], zorder=4)
        if row["published"] is not None:
            axis.scatter(
                [row["published"]], [place], s=34, marker="D", facecolors="white",
                edgecolors=PALETTE[3], zorder=5,
                label="published" if place == 0 else None,
            )  # fmt: skip
    axis.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    if axis.get_xlim()[1] > 100:  # an interval of few seeds may promise more than there is
        axis.set_xlim(right=100)
    axis.set_title(part["title"].split(" (")[0])
    axis.grid(True, axis="x")
    if any(row["published"] is not None for row in rows):
        axis.legend(loc="best")
