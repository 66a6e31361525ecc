"""What the experts have divided among themselves, from counts of images by expert and class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_lab.metrics.information import entropy_in_bits, mutual_information
from moe_lab.metrics.sums import ratio


def specialisation(first: NDArray[np.integer]) -> dict[str, float]:
    """I(E;Y) with its null, and the score in 0..1, from images by first expert and class [E, C].

    The score is the adjusted mutual information of Vinh, Epps and Bailey 2010 with the mean of the
    two entropies as its upper bound: 0 on average for a router that knows nothing of the classes,
    1 where expert and class determine each other. A router that sends everything to one expert
    scores 0. `guidance_diagonal` is the share of images whose first expert has the number of their
    class; it exists only where there are as many experts as classes.
    """
    values = mutual_information(first)
    bound = (entropy_in_bits(first.sum(1)) + entropy_in_bits(first.sum(0))) / 2
    room = bound - values["mutual_information_null"]
    # Without room every assignment of these sizes says as much as this one.
    values["specialisation"] = values["mutual_information"] / room if room > 1e-9 else 0.0
    if first.shape[0] == first.shape[1]:
        values["guidance_diagonal"] = float(np.trace(first)) / max(1, int(first.sum()))
    return values


def specialisation_tables(
    first: NDArray[np.integer], correct: NDArray[np.integer]
) -> dict[str, Any]:
    """Shares and accuracies by first expert and class, each [E, C]; NaN where there is no image.

    `class_share` is P(class | first expert), so rows sum to 1; `expert_share` is P(first expert |
    class), so columns do.
    """
    return {
        "first": first.tolist(),
        "class_share": ratio(first, first.sum(1, keepdims=True)).tolist(),
        "expert_share": ratio(first, first.sum(0, keepdims=True)).tolist(),
        "accuracy_by_class": ratio(correct, first).tolist(),
    }


def class_entropy(mass: NDArray[np.floating]) -> NDArray[np.float64]:
    """Over how many experts a class is spread: bits of its mean weights, [E, C] -> [C].

    NaN for a class without weight.
    """
    return np.array([entropy_in_bits(column) if column.sum() > 0 else np.nan for column in mass.T])
