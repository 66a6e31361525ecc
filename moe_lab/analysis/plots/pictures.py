"""The images themselves: mistakes with the experts that made them, and each expert's favourites."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moe_lab.analysis.collected import LayerRecords, Records
from moe_lab.analysis.plots.run_view import LayerFigures, LayerView, Pixels, RunFigures, RunView
from moe_lab.analysis.plots.style import blank, panels, styled

MOST_MISTAKES, MOST_EXPERTS, IMAGES_PER_EXPERT = 24, 16, 10


@styled
def misclassified(records: Records, images: Pixels) -> Figure:
    """The mistakes the model was surest of: true and predicted class, first expert, its weight."""
    wrong = np.flatnonzero(~records.correct)
    sure = wrong[np.argsort(-records.log_probs[wrong].max(1), kind="stable")][:MOST_MISTAKES]
    columns = min(8, max(1, len(sure)))
    rows = max(1, -(-len(sure) // columns))
    title = f"{len(sure)} of {len(wrong):,} mistakes, the surest first: true → predicted"
    figure, axes = panels(title, columns, rows, width=1.25, height=1.65)
    for panel in axes:
        panel.set_axis_off()
    for panel, row in zip(axes, sure, strict=False):
        show_picture(panel, images[row])
        names = records.class_names
        true, predicted = names[records.target[row]], names[records.predicted[row]]
        who = [asked(layer, int(row)) for layer in records.layers.values()]
        panel.set_title("\n".join([f"{true} → {predicted}", *who]), fontsize=7, loc="center")
    figure.set_size_inches(max(6.0, figure.get_figwidth()), figure.get_figheight())
    return figure


def asked(layer: LayerRecords, row: int) -> str:
    """The expert with the largest weight on an image, in words."""
    expert = layer.first[row]
    weight = layer.weights[row, expert]
    return f"expert {expert} ({weight:.2f})" if weight != 0 else "no expert"


@styled
def top_images(layer: LayerRecords, images: Pixels) -> Figure:
    """For each expert, the images that give it the largest weights, from left to right."""
    load = (layer.weights != 0).mean(0)
    shown = np.sort(np.argsort(-load, kind="stable")[:MOST_EXPERTS])
    title = "Images on which each expert has its largest weights"
    if len(shown) < layer.num_experts:
        title += f": the {len(shown)} most used of {layer.num_experts}"
    figure = blank(title, 8.4, 0.75 * len(shown) + 0.5)
    grid = figure.subplots(len(shown), IMAGES_PER_EXPERT, squeeze=False)
    for row, expert in zip(grid, shown, strict=True):
        weights = layer.weights[:, expert]
        best = np.argsort(-weights, kind="stable")[:IMAGES_PER_EXPERT]
        for panel, image in zip(row, best[weights[best] > 0], strict=False):
            show_picture(panel, images[image])
            panel.set_title(f"{weights[image]:.2f}", fontsize=6, loc="center", pad=2)
        for panel in row:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        label = f"expert {expert}\n" + (f"used on {load[expert]:.1%}" if load[expert] else "unused")
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    return figure


def show_picture(axes: Axes, image: Pixels) -> None:
    """One picture, grey or in colour: [channels, height, width]."""
    grey = image.shape[0] != 3
    pixels = image[0] if grey else image.transpose(1, 2, 0)
    axes.imshow(pixels, cmap="gray" if grey else None, vmin=0, vmax=255, interpolation="nearest")


def are_pictures(images: Pixels) -> bool:
    """Whether there is anything to see: points of two pixels are no pictures."""
    return images.shape[2] >= 4 and images.shape[3] >= 4


def mistakes_of(run: RunView) -> Figure | None:
    """The mistakes, where there are pictures and any of them."""
    if run.images is None or not are_pictures(run.images) or run.records.correct.all():
        return None
    return misclassified(run.records, run.images)


def top_images_of(view: LayerView) -> Figure | None:
    """Each expert's images with the largest weight, where there are pictures."""
    images = view.run.images
    return None if images is None or not are_pictures(images) else top_images(view.layer, images)


RUN_FIGURES: RunFigures = {"misclassified": mistakes_of}
LAYER_FIGURES: LayerFigures = {"top_images": top_images_of}
