"""The results of a study as one picture: mean and interval for each row, a line of panels for each
part.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moe_lab.analysis.plots.style import MUTED, PALETTE, blank, styled
from moe_lab.metrics.registry import find


@styled
def forest(result: dict[str, Any]) -> Figure:
    """Rows from top to bottom as in the table; small dots are seeds, bars 95 % intervals. What the
    accuracy is to be related to stands beside it, row by row.
    """
    parts = result["parts"]
    asked = [relation["first"] for part in parts for relation in part["relations"]]
    related = list(dict.fromkeys(asked))
    heights = [len(part["rows"]) + 1.5 for part in parts]
    width = 7.5 + 3.0 * len(related)
    figure = blank(result["title"], width, 0.6 + 0.24 * sum(heights) + 0.2 * len(related))
    panels = figure.subplots(
        len(parts), 1 + len(related), squeeze=False, height_ratios=heights,
        width_ratios=[2.0, *[1.0] * len(related)],
    )  # fmt: skip
    for (first, *others), part in zip(panels, parts, strict=True):
        draw_part(first, part)
        for axis, key in zip(others, related, strict=True):
            draw_related(axis, part, key)
    for axis, label in zip(panels[-1], ["test accuracy, %", *map(heading, related)], strict=True):
        axis.set_xlabel(label)
    return figure


def heading(key: str) -> str:
    """What the registry calls a number of a run, with its unit."""
    found = find(key)
    return found.metric.heading if found else key.replace("_", " ")


def draw_related(axis: Axes, part: dict[str, Any], key: str) -> None:
    """Another number of the same rows, and its rank correlation with the accuracy."""
    for place, row in enumerate(part["rows"]):
        seeds = [run[key] for run in row["runs"] if run.get(key) is not None]
        if seeds:
            draw_seeds(axis, seeds, place)
            axis.scatter([sum(seeds) / len(seeds)], [place], s=26, color=PALETTE[2], zorder=4)
    place_rows(axis, [""] * len(part["rows"]))
    found = [relation for relation in part["relations"] if relation["first"] == key]
    if found and found[0]["correlation"] is not None:
        axis.set_title(f"rank correlation {found[0]['correlation']:.2f}")


def draw_part(axis: Axes, part: dict[str, Any]) -> None:
    rows = part["rows"]
    for place, row in enumerate(rows):
        seeds = list(row["accuracies"].values())
        draw_seeds(axis, seeds, place)
        if row["interval"] is not None:
            axis.plot(row["interval"], [place, place], color=PALETTE[0], linewidth=2, zorder=3)
        axis.scatter([row["mean"]], [place], s=26, color=PALETTE[0], zorder=4)
        if row["published"] is not None:
            axis.scatter(
                [row["published"]], [place], s=34, marker="D", facecolors="white",
                edgecolors=PALETTE[3], zorder=5,
                label="published" if place == 0 else None,
            )  # fmt: skip
    place_rows(axis, [row["label"] for row in rows])
    if axis.get_xlim()[1] > 100:  # an interval of few seeds may promise more than there is
        axis.set_xlim(right=100)
    axis.set_title(part["title"].split(" (")[0])
    if any(row["published"] is not None for row in rows):
        axis.legend(loc="best")


def draw_seeds(axis: Axes, values: list[float], place: int) -> None:
    # Below the mean and its bar, which would cover them.
    axis.scatter(values, [place + 0.28] * len(values), s=9, color=MUTED, linewidths=0, zorder=2)


def place_rows(axis: Axes, labels: list[str]) -> None:
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.grid(True, axis="x")
