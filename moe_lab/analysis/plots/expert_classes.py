"""Which expert serves which class, and how well."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from moe_lab.analysis.collected import LayerRecords, Records
from moe_lab.analysis.csv_files import (
    LEAST_IMAGES,
    expert_class_accuracy,
    expert_class_counts,
    expert_class_mass,
)
from moe_lab.analysis.plots.run_view import LayerFigures, RunFigures
from moe_lab.analysis.plots.style import expert_names, heat_map, panels, styled


@styled
def expert_classes(records: Records, layer: LayerRecords) -> Figure:
    """Images, weight and accuracy of each pair of expert and class, three panels [E, C].

    An accuracy on fewer than ten images is left grey.
    """
    names, target = records.class_names, records.target
    experts = expert_names(layer.num_experts)
    counts = expert_class_counts(layer, target, len(names))
    figure, axes = panels(
        "Experts and classes",
        columns=3,
        width=min(9.0, 1.6 + 0.36 * max(6, len(names))),
        height=min(9.0, 1.4 + 0.26 * max(6, len(experts))),
    )
    heat_map(axes[0], counts, experts, names, "images", "{:.0f}")
    axes[0].set_title("Images with the expert first")
    heat_map(axes[1], expert_class_mass(layer, target, len(names)), experts, names, "share")
    axes[1].set_title("Share of a class's weight")
    accuracy = np.where(counts >= LEAST_IMAGES, expert_class_accuracy(layer, records), np.nan)
    heat_map(axes[2], accuracy, experts, names, "accuracy", cmap="cividis", limits=(0, 1))
    axes[2].set_title(f"Accuracy where the expert is first, {LEAST_IMAGES} images or more")
    for panel in axes:
        panel.set(xlabel="true class", ylabel="expert")
    return figure


@styled
def competence(records: Records) -> Figure:
    """Accuracy of each expert alone on all images of each class, [E, C]; grey for a class of fewer
    than ten.
    """
    assert records.expert_log_probs is not None
    right = records.expert_log_probs.argmax(2) == records.target[:, None]  # [B, E]
    names = records.class_names
    experts = expert_names(right.shape[1])
    of_class = [right[records.target == label] for label in range(len(names))]
    unknown = np.full(right.shape[1], np.nan)
    by_class = [own.mean(0) if len(own) >= LEAST_IMAGES else unknown for own in of_class]
    figure, axes = panels(
        "Accuracy of each expert alone, on all images",
        columns=1,
        width=min(12.0, 2 + 0.42 * max(6, len(names))),
        height=min(10.0, 1.2 + 0.28 * max(6, len(experts))),
    )
    values = [list(row) for row in zip(*by_class, strict=True)]
    heat_map(axes[0], values, experts, names, "accuracy", cmap="cividis", limits=(0, 1))
    axes[0].set(xlabel="true class", ylabel="expert")
    return figure


RUN_FIGURES: RunFigures = {
    "competence": lambda run: (
        None if run.records.expert_log_probs is None else competence(run.records)
    ),
}
LAYER_FIGURES: LayerFigures = {
    "expert_classes": lambda view: expert_classes(view.run.records, view.layer),
}
