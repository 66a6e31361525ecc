"""How the load of the experts moved during training, one point a validation."""

from __future__ import annotations

import math
import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moe_lab.analysis.plots.history import (
    draw,
    number_steps,
    steps_and_values,
    until_last_epoch,
)
from moe_lab.analysis.plots.run_view import LayerFigures, LayerView, Rows
from moe_lab.analysis.plots.style import MUTED, colours, panels, styled


@styled
def utilisation(rows: Rows, num_experts: int, prefix: str = "val_") -> Figure:
    """Load, entropies and information of a layer by step; the load of each expert where logged.

    The loads are read from `{prefix}share_0` to `{prefix}share_{E-1}`.
    """
    rows = until_last_epoch(rows)
    shares = share_keys(rows, prefix)
    figure, axes = panels("Use of the experts during training", columns=3 if shares else 2)
    if shares:
        stack_shares(axes[0], rows, shares)
    load, spread = axes[-2:]
    draw(load, rows, {f"{prefix}max_load_share": "largest load of an expert"})
    load.axhline(1 / num_experts, color=MUTED, linestyle="--", linewidth=1)
    load.set(title="Load (dashed: equal loads)", ylabel="share of all weight", ylim=(0, None))
    names = {
        "usage_entropy": "usage $H_u$",
        "routing_entropy": "of an image $H_s$",
        "mutual_information": "information $I(E;Y)$",
    }
    draw(spread, rows, {f"{prefix}{key}": label for key, label in names.items()})
    top = math.log2(max(2, num_experts))
    spread.axhline(top, color=MUTED, linestyle="--", linewidth=1)
    spread.set(title=f"Entropy (dashed: log2 {num_experts})", ylabel="bits", ylim=(0, 1.08 * top))
    number_steps(axes, rows)
    return figure


def share_keys(rows: Rows, prefix: str) -> list[str]:
    """The logged names of the experts' shares, in the order of the experts."""
    pattern = re.compile(re.escape(prefix) + r"share_(\d+)")
    found = {int(m[1]): key for row in rows for key in row if (m := pattern.fullmatch(key))}
    return [found[expert] for expert in sorted(found)]


def stack_shares(axes: Axes, rows: Rows, keys: list[str]) -> None:
    """One band an expert, as thick as its share; its number stands in it where it fits."""
    steps = steps_and_values(rows, keys[0])[0]
    shares = np.stack([steps_and_values(rows, key)[1] for key in keys])  # [E, validations]
    axes.stackplot(
        steps, shares, colors=colours(len(keys)), edgecolor="white", linewidth=0.4, alpha=0.85
    )
    middle = shares[:, -1].cumsum() - shares[:, -1] / 2
    for expert, height in enumerate(middle):
        if shares[expert, -1] > 0.035:
            axes.annotate(
                str(expert), (steps[-1], height), (3, 0), textcoords="offset points",
                va="center", fontsize=7, annotation_clip=False,
            )  # fmt: skip
    axes.set(title="Load of each expert", ylabel="share of all weight", ylim=(0, 1))


def utilisation_of(view: LayerView) -> Figure | None:
    """The load by step, where the run has a history."""
    if not view.run.history:
        return None
    return utilisation(view.run.history, view.layer.num_experts, f"val_{view.prefix}")


LAYER_FIGURES: LayerFigures = {"utilisation": utilisation_of}
