"""How right the predictions are, class by class, from the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_lab.analysis.page.html_table import Cell, Column, HeatMap, Table, number, share, words

MOST_CLASSES = 25  # shown as a matrix; more are unreadable, and the list of confusions is there
MOST_CONFUSIONS = 12


@dataclass(frozen=True)
class ClassTables:
    """What the page shows of the predictions to the test images."""

    classes: Table
    others: Sequence[Table]
    heat_map: HeatMap | None


def class_tables(tables: Mapping[str, Any], names: Sequence[str]) -> ClassTables | None:
    """Classes, mistakes, confusion and calibration; None where no test was recorded."""
    if not tables.get("confusion"):
        return None
    confusion = np.array(tables["confusion"], dtype=np.int64)
    others = [confusion_table(confusion, names)]
    if tables.get("calibration"):
        others.append(calibration_table(tables["calibration"]))
    return ClassTables(class_table(confusion, names), others, confusion_map(confusion, names))


def class_table(confusion: NDArray[np.int64], names: Sequence[str]) -> Table:
    """Precision, recall and F1 of each class; rows of the confusion [C, C] are true classes."""
    right, true, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    rows = [
        [
            words(name),
            number(int(true[c]), ",d"),
            number(int(predicted[c]), ",d"),
            share(over(right[c], predicted[c]), over(right[c], predicted[c])),
            share(over(right[c], true[c]), over(right[c], true[c])),
            share(over(2 * right[c], true[c] + predicted[c])),
        ]
        for c, name in enumerate(names)
    ]
    columns = [
        Column("class", is_number=all(name.isdigit() for name in names)),
        Column("images", "test images of this class"),
        Column("predicted", "test images that were given this class"),
        Column("precision", "of the images given this class, those that are of it"),
        Column("recall", "of the images of this class, those that were given it"),
        Column("F1", "harmonic mean of precision and recall"),
    ]
    return Table("Each class", columns, rows)


def confusion_table(confusion: NDArray[np.int64], names: Sequence[str]) -> Table:
    """The commonest mistakes."""
    wrong = confusion - np.diag(np.diag(confusion))
    true = confusion.sum(1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
    rows: list[list[Cell]] = []
    for y, given in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[y, given] > 0:
            count = int(wrong[y, given])
            part = over(count, true[y])
            rows.append([words(names[y]), words(names[given]), number(count, ",d"), share(part)])
    columns = [
        Column("class", is_number=False),
        Column("taken for", is_number=False),
        Column("images"),
        Column("of the class", "share of the images of this class"),
    ]
    return Table("Commonest mistakes", columns, rows)


def confusion_map(confusion: NDArray[np.int64], names: Sequence[str]) -> HeatMap | None:
    """The whole matrix, coloured by share of the true class; None with very many classes."""
    if len(names) > MOST_CLASSES:
        return None
    shares = confusion / np.maximum(1, confusion.sum(1, keepdims=True))
    return HeatMap(
        "Confusion",
        "Images of each true class by the class they were given; coloured by share of the row.",
        "true class",
        "predicted class",
        names,
        names,
        shares.tolist(),
        [[f"{count:,}" if count else "" for count in row] for row in confusion.tolist()],
    )


def calibration_table(bins: Mapping[str, Sequence[float]]) -> Table:
    """Confidence against accuracy, for each bin of confidence that holds images."""
    rows = [
        [share(confidence), share(accuracy), share(accuracy - confidence), number(images, ",.0f")]
        for images, confidence, accuracy in zip(
            bins["images"], bins["confidence"], bins["accuracy"], strict=True
        )
        if images > 0
    ]
    columns = [
        Column("confidence", "mean probability of the predicted classes of a bin"),
        Column("accuracy", "share of them that are right"),
        Column("gap", "below 0: too sure of itself"),
        Column("images"),
    ]
    return Table("Calibration", columns, rows)


def over(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
