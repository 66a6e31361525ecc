"""Whether rows with more of one thing have more of another: a rank correlation over rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from moe_lab.comparison.found_runs import Group
from moe_lab.sweeps.studies.definition import Relation

FEWEST_ROWS = 5  # rows: below, every interval would reach from -1 to 1
RESAMPLES = 9999
LEVEL = 0.95


def relate(relation: Relation, groups: Sequence[Group]) -> dict[str, Any]:
    """Spearman's correlation of the rows' means, with an interval and a p-value by permutation.

    A row counts once, however many seeds it has: seeds of one row are not further configurations.
    Rows whose runs lack one of the two numbers are left out, and named. Equal numbers share their
    mean rank.
    """
    numbers = [relation.first, relation.second]
    found = {group.label: [finite(group.mean(key)) for key in numbers] for group in groups}
    left_out = [label for label, pair in found.items() if None in pair]
    pairs = np.array([pair for pair in found.values() if None not in pair], dtype=float)
    result: dict[str, Any] = {
        "question": relation.question, "first": relation.first, "second": relation.second,
        "rows": len(pairs), "left_out": left_out,
    }  # fmt: skip
    without = f" Without {', '.join(left_out)}, where it was not measured." if left_out else ""
    if len(pairs) < FEWEST_ROWS or np.ptp(pairs, axis=0).min() == 0:
        why = "no answer: it takes at least five rows, and numbers that differ between them."
        why += without
        return {**result, "answer": why, "correlation": None, "interval": None, "p_value": None}
    first, second = pairs.T
    correlation = float(correlate(first, second))
    interval = correlation_interval(correlation, len(pairs))
    p_value = stats.permutation_test(
        (first,),
        lambda shuffled, axis: correlate(np.moveaxis(shuffled, axis, -1), second),
        permutation_type="pairings",
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
        vectorized=True,
    ).pvalue
    decided = p_value < 0.05
    words = ("more goes with more" if correlation > 0 else "more goes with less") if decided else (
        "no evidence of a relation"
    )  # fmt: skip
    low, high = interval
    answer = (
        f"{words[:1].upper()}{words[1:]}: rank correlation {correlation:.2f} "
        f"[{low:.2f}, {high:.2f}] over {len(pairs)} rows, p = {p_value:.3g}.{without}"
    )
    return {
        **result,
        "answer": answer,
        "correlation": correlation,
        "interval": list(interval),
        "p_value": float(p_value),
    }


def correlate(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's correlation of rows in the last dimension, `[..., R] -> [...]`; equal values
    share their mean rank.
    """
    ranks = (stats.rankdata(values, axis=-1) for values in (first, second))
    one, other = (rank - rank.mean(-1, keepdims=True) for rank in ranks)
    scale = np.sqrt((one**2).sum(-1) * (other**2).sum(-1))
    return np.asarray((one * other).sum(-1) / scale)


def finite(value: float | None) -> float | None:
    """A mean over seeds, None where one of them is no number."""
    return value if value is not None and math.isfinite(value) else None


def correlation_interval(correlation: float, count: int) -> tuple[float, float]:
    """The interval of a rank correlation of `count` pairs by Fisher's z, with the variance of
    Bonett & Wright 2000.

    Rows drawn again with replacement, as a bootstrap does, tie with themselves: its interval of few
    or tied rows can miss the estimate. A perfect order has no z, so there the interval starts from
    the order with two neighbours exchanged.
    """
    nearly = 1 - 12 / (count**3 - count)
    held = min(nearly, max(-nearly, correlation))
    half = stats.norm.ppf((1 + LEVEL) / 2) * math.sqrt((1 + held**2 / 2) / (count - 3))
    low, high = math.tanh(math.atanh(held) - half), math.tanh(math.atanh(held) + half)
    return min(low, correlation), max(high, correlation)
