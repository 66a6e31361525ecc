"""The gate's probabilities in the plane: principal components, and t-SNE (van der Maaten & Hinton
2008).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy.spatial import KDTree
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from moe_lab.analysis.collected import LayerRecords, Records, Whole
from moe_lab.analysis.csv_files import first_choice
from moe_lab.analysis.plots.run_view import LayerFigures
from moe_lab.analysis.plots.style import MOST_TICKS, colours, expert_names, panels, styled

MOST_IMAGES = 2000  # t-SNE of more takes minutes, and the points would hide each other
Plane = NDArray[np.float64]  # [B, 2]


@styled
def gate_pca(records: Records, layer: LayerRecords) -> Figure:
    """Gate probabilities on their first two principal components, by class and by expert."""
    rows = sample(len(records.target))
    pca = PCA(2)
    pca.fit(layer.probs)
    plane = pca.transform(layer.probs[rows])
    kept = [f"component {i + 1} ({s:.0%} of variance)" for i, s in enumerate(explained(pca))]
    return scatter("Gate probabilities: principal components", plane, rows, records, layer, kept)


def explained(pca: PCA) -> list[float]:
    return [float(share) for share in pca.explained_variance_ratio_]


@styled
def gate_tsne(records: Records, layer: LayerRecords, seed: int = 0) -> Figure:
    """t-SNE of the gate probabilities of up to 2,000 images, by class and by expert."""
    rows = sample(len(records.target))
    perplexity = min(30.0, (len(rows) - 1) / 3)
    embed: Callable[..., Plane] = TSNE(
        2, perplexity=perplexity, init="pca", max_iter=500, random_state=seed
    ).fit_transform
    plane = embed(layer.probs[rows])
    return scatter("Gate probabilities: t-SNE", plane, rows, records, layer, ["", ""])


def has_a_plane(layer: LayerRecords) -> bool:
    """Whether the gate tells images apart at all, in at least two directions worth drawing."""
    enough = layer.num_experts >= 2 and len(layer.probs) >= 10
    return enough and float(layer.probs.std(0).max()) > 1e-6


def sample(count: int) -> Whole:
    """The rows that are drawn: all, or the same random 2,000 each time."""
    if count <= MOST_IMAGES:
        return np.arange(count)
    chosen = np.random.default_rng(0).choice(count, MOST_IMAGES, replace=False)
    return np.sort(chosen).astype(np.int64)


def scatter(
    title: str, plane: Plane, rows: Whole, records: Records, layer: LayerRecords, axis: list[str]
) -> Figure:
    figure, axes = panels(title, columns=2, width=4.8, height=4.2)
    groups = (
        ("by true class", records.target[rows], records.class_names),
        ("by first expert", first_choice(layer)[rows], expert_names(layer.num_experts)),
    )
    for panel, (name, group, labels) in zip(axes, groups, strict=True):
        draw_groups(panel, plane, group, list(labels))
        panel.set(title=name, xlabel=axis[0], ylabel=axis[1])
        if not axis[0]:  # distances of t-SNE have no unit
            panel.set_xticks([])
            panel.set_yticks([])
    return figure


def draw_groups(axes: Axes, plane: Plane, group: Whole, labels: list[str]) -> None:
    """Points coloured by group; short names stand where their points are densest."""
    shades = [*colours(len(labels)), to_rgba("#dddddd")]  # the last one: -1, no expert
    x, y = plane.T
    axes.scatter(x, y, c=[shades[g] for g in group], s=5, alpha=0.6, linewidths=0)
    present = [index for index in range(len(labels)) if (group == index).any()]
    if len(present) > MOST_TICKS:
        return
    marks = [
        Line2D([], [], marker="o", linestyle="", color=shades[index], label=labels[index])
        for index in present
    ]
    axes.legend(handles=marks, loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.1)
    for index in present:
        mine, label = plane[group == index], labels[index]
        if max(map(len, labels)) <= 3:
            axes.annotate(
                label, densest(mine), ha="center", va="center", fontsize=8,
                fontweight="bold", color=shades[index],
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.85,
                      "edgecolor": shades[index], "linewidth": 0.8},
            )  # fmt: skip


def densest(points: Plane) -> tuple[float, float]:
    """The point whose 15 nearest neighbours lie closest; a median may fall between two groups."""
    reach = KDTree(points).query(points, k=[min(15, len(points))])[0][:, 0]
    x, y = points[reach.argmin()]
    return float(x), float(y)


LAYER_FIGURES: LayerFigures = {
    "gate_pca": lambda view: (
        gate_pca(view.run.records, view.layer) if has_a_plane(view.layer) else None
    ),
    "gate_tsne": lambda view: (
        gate_tsne(view.run.records, view.layer) if has_a_plane(view.layer) else None
    ),
}
