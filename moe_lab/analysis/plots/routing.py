"""Who was asked for each image: weights image by image, their entropy, and experts that go
together.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from moe_lab.analysis.collected import LayerRecords, Records
from moe_lab.analysis.csv_files import weight_share
from moe_lab.analysis.plots.run_view import LayerFigures, LayerView
from moe_lab.analysis.plots.style import (
    MOST_TICKS,
    MUTED,
    PALETTE,
    expert_names,
    heat_map,
    panels,
    styled,
)

MOST_ROWS = 1500  # images in the routing heat-map, spread evenly over each class


@styled
def routing_heat_map(records: Records, layer: LayerRecords) -> Figure:
    """Shares of weight, images sorted by class and then by first expert against experts."""
    share, order = weight_share(layer), by_class_and_expert(records, layer)
    width = min(12.0, 3 + 0.3 * layer.num_experts)
    figure, axes = panels("Routing of each image", columns=1, width=width, height=5.2)
    experts = expert_names(layer.num_experts)
    heat_map(axes[0], share[order], [], experts, "share of the image's weight", limits=(0, 1))
    labels, starts = np.unique(records.target[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    for start in starts[1:] if len(labels) <= MOST_TICKS else ():  # more lines than picture
        axes[0].axhline(start - 0.5, color="white", linewidth=0.8)
    shown = labels[:: -(-len(labels) // MOST_TICKS)]
    names = [records.class_names[label] for label in shown]
    middles = {label: (a + b) / 2 for label, a, b in zip(labels, starts, ends, strict=True)}
    axes[0].yaxis.set_ticks([middles[label] for label in shown], names)
    axes[0].set(xlabel="expert", ylabel=f"{len(order):,} images, by true class")
    return figure


def by_class_and_expert(records: Records, layer: LayerRecords) -> NDArray[np.int64]:
    """Rows sorted by class, then first expert; every n-th where there are more than MOST_ROWS."""
    order = np.lexsort((layer.first, records.target))
    return order[:: -(-len(order) // MOST_ROWS)]


@styled
def gating_entropy(layer: LayerRecords) -> Figure:
    """How undecided the gate is about each image, and how spread its weights are, in bits."""
    top = math.log2(max(2, layer.num_experts))
    used = (layer.weights != 0).any(1)
    figure, axes = panels("Entropy of the gate", columns=1, width=5.6)
    bins = np.linspace(0, 1.0001 * top, 41).tolist()
    kinds: tuple[tuple[str, NDArray[np.floating], dict[str, Any]], ...] = (
        ("gate probabilities", layer.probs, {"color": PALETTE[0], "alpha": 0.75}),
        (
            "weights that are used",
            weight_share(layer)[used],
            {"color": PALETTE[3], "histtype": "step", "linewidth": 1.6},
        ),
    )
    for label, share, look in kinds:
        values = entropies(share)
        mean = values.mean() if len(values) else 0.0
        axes[0].hist(values, bins, label=f"{label}, mean {mean:.2f} bits", **look)
    axes[0].axvline(top, color=MUTED, linestyle="--", linewidth=1)
    axes[0].annotate(
        f"log2 {layer.num_experts} = {top:.2f}", (top, 0.98), (-4, 0), ha="right", va="top",
        xycoords=("data", "axes fraction"), textcoords="offset points", color=MUTED, fontsize=8,
    )  # fmt: skip
    axes[0].set(xlabel="entropy of an image's distribution over experts (bits)", ylabel="images")
    axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def entropies(share: NDArray[np.floating]) -> NDArray[np.float64]:
    """Entropy in bits of each row of shares, [B, E] -> [B]."""
    values = share.astype(np.float64)
    return -(values * np.log2(np.where(values > 0, values, 1))).sum(1)


@styled
def co_activation(layer: LayerRecords) -> Figure:
    """Of the images an expert is used on, the share on which another one is used too, [E, E]."""
    used = (layer.weights != 0).astype(np.float64)
    together = used.T @ used
    alone = np.diag(together)[:, None]
    share = np.divide(together, alone, out=np.full_like(together, np.nan), where=alone > 0)
    np.fill_diagonal(share, np.nan)
    experts = expert_names(layer.num_experts)
    side = min(10.0, 1.6 + 0.36 * max(5, layer.num_experts))
    figure, axes = panels("Experts used together", columns=1, width=side + 1, height=side)
    heat_map(axes[0], share, experts, experts, "share of the row's images")
    axes[0].set(xlabel="this expert is used too", ylabel="where this expert is used")
    return figure


def co_activation_of(view: LayerView) -> Figure | None:
    """Experts used together, where an image has several but not all of them."""
    used = view.layer.weights != 0
    return co_activation(view.layer) if used.sum(1).max() > 1 and not used.all() else None


LAYER_FIGURES: LayerFigures = {
    "routing": lambda view: routing_heat_map(view.run.records, view.layer),
    "gating_entropy": lambda view: gating_entropy(view.layer),
    "co_activation": co_activation_of,
}
