"""Whether rows with more of one thing have more of another: a rank correlation over rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from moe_lab.comparison.found_runs import Group
from moe_lab.sweeps.studies.definition import Relation

FEWEST_ROWS = 5  # rows: below, every interval would reach from -1 to 1
RESAMPLES = 9999


def relate(relation: Relation, groups: Sequence[Group]) -> dict[str, Any]:
    """Spearman's correlation of the rows' means, with an interval and a p-value by permutation.

    A row counts once, however many seeds it has: seeds of one row are not further configurations.
    Rows whose runs lack one of the two numbers are left out.
    """
    found = [(group.mean(relation.first), group.mean(relation.second)) for group in groups]
    pairs = np.array([pair for pair in found if None not in pair], dtype=float).reshape(-1, 2)
    result: dict[str, Any] = {"question": relation.question, "rows": len(pairs)}
    if len(pairs) < FEWEST_ROWS or np.ptp(pairs, axis=0).min() == 0:
        why = "no answer: it takes at least five rows, and numbers that differ between them."
        return {**result, "answer": why, "correlation": None, "interval": None, "p_value": None}
    first, second = pairs.T
    correlation = float(correlate(first, second))
    interval = bootstrap(first, second)
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
    answer = (
        f"{words[:1].upper()}{words[1:]}: rank correlation {correlation:.2f} "
        f"[{interval[0]:.2f}, {interval[1]:.2f}] over {len(pairs)} rows, p = {p_value:.3g}."
    )
    return {
        **result,
        "answer": answer,
        "correlation": correlation,
        "interval": list(interval),
        "p_value": float(p_value),
    }


def correlate(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's correlation of rows in the last dimension, `[..., R] -> [...]`; NaN where all
    values of a resample are equal.
    """
    ranks = (stats.rankdata(values, axis=-1) for values in (first, second))
    one, other = (rank - rank.mean(-1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):
        scale = np.sqrt((one**2).sum(-1) * (other**2).sum(-1))
        return np.asarray((one * other).sum(-1) / scale)


def bootstrap(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float]:
    """The percentile interval over rows drawn with replacement."""
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(first), size=(RESAMPLES, len(first)))
    low, high = np.nanpercentile(correlate(first[drawn], second[drawn]), [2.5, 97.5])
    return float(low), float(high)
