"""CSV tables of what a model did on a split: activations, predictions, experts by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from moe_lab.analysis.collected import LayerRecords, Records, Whole
from moe_lab.analysis.harmless_cells import as_text


def activations(layer: LayerRecords, target: Whole) -> pd.DataFrame:
    """One row for each expert that was used on an image: sample, expert, weight, label."""
    sample, expert = layer.weights.nonzero()
    return pd.DataFrame(
        {
            "sample": sample,
            "expert": expert,
            "weight": layer.weights[sample, expert],
            "label": target[sample],
        }
    )


def predictions(records: Records) -> pd.DataFrame:
    """One row an image: sample, label, predicted, correct, confidence, and for each layer the
    expert with the largest weight, empty where none was used.
    """
    table = pd.DataFrame(
        {
            "sample": np.arange(len(records.target)),
            "label": records.target,
            "predicted": records.predicted,
            "correct": records.correct.astype(int),
            "confidence": np.exp(records.log_probs.max(1)),
        }
    )
    for name, layer in records.layers.items():
        first = pd.Series(first_choice(layer), dtype="Int64")  # Int64 has an empty value
        table[f"{layer_prefix(records, name)}first_expert"] = first.where(first >= 0)
    return table


def first_choice(layer: LayerRecords) -> Whole:
    """The expert with the largest weight of each image, [B]; -1 where no expert was used."""
    return np.where((layer.weights != 0).any(1), layer.first, -1)


def expert_class_counts(layer: LayerRecords, target: Whole, num_classes: int) -> Whole:
    """Images of each class that each expert had the largest weight on, [E, C].

    An image on which no expert was used counts nowhere.
    """
    return _by_expert_and_class(layer, target, num_classes).astype(np.int64)


# Images below which an accuracy is not shown: of ten, one more that is right moves it by 10 points,
# and the 95 % interval of 9 right ones already reaches from 60 to 98 %.
LEAST_IMAGES = 10


def expert_class_accuracy(layer: LayerRecords, records: Records) -> NDArray[np.float64]:
    """Share of correct predictions among the images of `expert_class_counts`, [E, C]; NaN where
    there is none.
    """
    num_classes = len(records.class_names)
    counts = _by_expert_and_class(layer, records.target, num_classes)
    right = _by_expert_and_class(layer, records.target, num_classes, records.correct)
    return np.divide(right, counts, out=np.full_like(counts, np.nan), where=counts > 0)


def expert_class_mass(layer: LayerRecords, target: Whole, num_classes: int) -> NDArray[np.float64]:
    """Share of the weight on the images of a class that each expert holds, [E, C]; columns sum to
    1, or to 0 for a class without images.
    """
    share = weight_share(layer)
    mass = np.zeros((layer.num_experts, num_classes))
    np.add.at(mass.T, target, share)
    return mass / np.maximum(mass.sum(0), 1e-12)


def weight_share(layer: LayerRecords) -> NDArray[np.float64]:
    """Weights divided by their sum over the experts, [B, E]; 0 where no expert was used."""
    total = layer.weights.sum(1, keepdims=True, dtype=np.float64)
    return layer.weights / np.maximum(total, 1e-20)


def write_tables(records: Records, folder: str | Path) -> list[Path]:
    """predictions.csv and, for each layer, activations.csv and expert_class_counts.csv."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    tables = {"predictions": predictions(records)}
    for name, layer in records.layers.items():
        prefix = layer_prefix(records, name)
        tables[f"{prefix}activations"] = activations(layer, records.target)
        names = list(records.class_names)
        counts = pd.DataFrame(expert_class_counts(layer, records.target, len(names)), columns=names)
        counts.insert(0, "expert", np.arange(layer.num_experts))
        tables[f"{prefix}expert_class_counts"] = counts
    paths = []
    for stem, table in tables.items():
        paths.append(place / f"{stem}.csv")
        # Every cell is a number that was measured; class names, which are folders, are headings.
        table.rename(columns=as_text).to_csv(paths[-1], index=False, float_format="%.6g")
    return paths


def layer_prefix(records: Records, name: str) -> str:
    """What the names of a layer's files start with: nothing where it is the only one."""
    return f"{name}_" if len(records.layers) > 1 else ""


def _by_expert_and_class(
    layer: LayerRecords, target: Whole, num_classes: int, amounts: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    used = (layer.weights != 0).any(1)
    cell = (layer.first * num_classes + target)[used]
    weights = None if amounts is None else amounts[used]
    counts = np.bincount(cell, weights, minlength=layer.num_experts * num_classes)
    return counts.reshape(layer.num_experts, num_classes).astype(np.float64)
