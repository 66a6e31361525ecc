"""All figures that apply to a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from moe_lab.analysis.plots.answers import confusion, reliability
from moe_lab.analysis.plots.architecture import architecture
from moe_lab.analysis.plots.expert_classes import competence, expert_classes
from moe_lab.analysis.plots.gate_space import gate_pca, gate_tsne, has_a_plane
from moe_lab.analysis.plots.passes import pass_probabilities, passes, steps_taken
from moe_lab.analysis.plots.pictures import Pixels, are_pictures, misclassified, top_images
from moe_lab.analysis.plots.routing import co_activation, gating_entropy, routing_heat_map
from moe_lab.analysis.plots.territories import decision_regions
from moe_lab.analysis.plots.training import Rows, training_curves
from moe_lab.analysis.plots.tree import tree_routing
from moe_lab.analysis.plots.utilisation import utilisation
from moe_lab.analysis.records import LayerRecords, Records
from moe_lab.analysis.tables import layer_prefix
from moe_lab.models import Model

DPI = 150


def draw_run(
    records: Records,
    images: Pixels | None = None,
    class_names: Sequence[str] | None = None,
    history_rows: Rows = (),
    model: Model | None = None,
    toy: Records | None = None,
) -> dict[str, Figure]:
    """Every figure that applies, by file stem.

    `images` are the raw pixels of the records, uint8 [B, channels, height, width], in their order;
    `class_names` what classes are called where not as in the records; `history_rows` the lines of
    metrics.jsonl; `toy` the answers over the whole square (`square_records`) of a run on toy2d. A
    layer's figures start with its name where there are several layers.
    """
    if class_names is not None:
        records = replace(records, class_names=tuple(class_names))
    figures: dict[str, Figure] = {}
    if model is not None:
        figures["architecture"] = architecture(model)
    if history_rows:
        figures["training_curves"] = training_curves(history_rows)
    figures |= {"confusion": confusion(records), "reliability": reliability(records)}
    if images is not None and are_pictures(images) and not records.correct.all():
        figures["misclassified"] = misclassified(records, images)
    if records.expert_log_probs is not None:
        figures["competence"] = competence(records)
    if toy is not None and images is not None:
        figures["decision_regions"] = decision_regions(toy, images, records.target)
    figures |= draw_passes(records, images)
    for name, layer in records.layers.items():
        prefix = layer_prefix(records, name)
        drawn = draw_layer(records, layer, images, branching_of(model, name, layer))
        if history_rows:
            drawn["utilisation"] = utilisation(history_rows, layer.num_experts, f"val_{prefix}")
        figures |= {f"{prefix}{stem}": figure for stem, figure in drawn.items()}
    return figures


def draw_layer(
    records: Records,
    layer: LayerRecords,
    images: Pixels | None,
    branching: Sequence[int] | None,
) -> dict[str, Figure]:
    """The figures of one routing."""
    figures = {
        "expert_classes": expert_classes(records, layer),
        "routing": routing_heat_map(records, layer),
        "gating_entropy": gating_entropy(layer),
    }
    if has_a_plane(layer):
        figures["gate_pca"] = gate_pca(records, layer)
        figures["gate_tsne"] = gate_tsne(records, layer)
    used = layer.weights != 0
    if used.sum(1).max() > 1 and not used.all():
        figures["co_activation"] = co_activation(layer)
    if images is not None and are_pictures(images):
        figures["top_images"] = top_images(layer, images)
    if branching is not None:
        figures["tree_routing"] = tree_routing(records, layer, branching)
    return figures


def draw_passes(records: Records, images: Pixels | None) -> dict[str, Figure]:
    """The figures of a model that answers several times or decides how long to think."""
    figures = {}
    if records.pass_log_probs is not None and len(records.pass_log_probs) > 1:
        figures["passes"] = passes(records)
        figures["pass_probabilities"] = pass_probabilities(records, images)
    if records.steps is not None and records.steps.min() < records.steps.max():
        figures["steps_taken"] = steps_taken(records)
    return figures


def branching_of(model: Model | None, name: str, layer: LayerRecords) -> Sequence[int] | None:
    """The branching of the tree that routes this layer, if one does."""
    if model is None:
        return None
    for path, module in model.named_modules():
        branching = getattr(module, "branching", None)
        own = path == name or path.endswith(f".{name}") or path.startswith(f"{name}.")
        if branching and own and getattr(module, "num_experts", None) == layer.num_experts:
            return list(branching)
    return None


def save(figures: Mapping[str, Figure], folder: str | Path) -> list[Path]:
    """STEM.png of each figure at 150 dots an inch; the folder is made."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    paths = [place / f"{stem}.png" for stem in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        figure.savefig(path, dpi=DPI)
    return paths
