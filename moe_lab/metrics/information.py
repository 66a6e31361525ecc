"""Entropies and mutual information of tables of counts, in bits, with their null."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray
from scipy import stats

NUM_PERMUTATIONS = 999
MIN_PERMUTATIONS = 99
MAX_CELLS = 100_000  # cells drawn in all: about 10 ms, at every validation


def entropy_in_bits(amounts: NDArray[np.floating] | NDArray[np.integer]) -> float:
    """Entropy of non-negative amounts after scaling them to sum to 1."""
    total = amounts.sum()
    return float(stats.entropy(amounts.ravel(), base=2)) if total > 0 else 0.0


def plug_in_information(table: NDArray[np.integer]) -> float:
    """I(E; Y) = H(E) + H(Y) - H(E, Y) in bits of a table of counts [E, C]; biased upwards."""
    rows, columns = table.sum(1), table.sum(0)
    return entropy_in_bits(rows) + entropy_in_bits(columns) - entropy_in_bits(table)


def mutual_information(
    table: NDArray[np.integer], permutations: int = NUM_PERMUTATIONS
) -> dict[str, float]:
    """I(E; Y) between first-choice expert and true label, less what chance gives, from counts [E,
    C].

    Permuting the labels keeps both margins of the table, so the null is drawn straight from tables
    with these margins (Patefield 1981). Its mean is the bias that is taken off, and the p-value is
    (1 + #{null >= seen}) / (1 + n). Of tables with more than a hundred cells fewer are drawn, down
    to 99.
    """
    rows, columns = table.sum(1), table.sum(0)
    seen = plug_in_information(table)
    rows, columns = rows[rows > 0], columns[columns > 0]
    if len(rows) < 2 or len(columns) < 2:
        return {
            "mutual_information": 0.0,
            "mutual_information_null": 0.0,
            "mutual_information_p_value": 1.0,
        }
    affordable = max(MIN_PERMUTATIONS, MAX_CELLS // (len(rows) * len(columns)))
    permutations = min(permutations, affordable)
    # Seeded by the table: the same answer twice, and unrelated draws for different tables.
    seed = zlib.crc32(np.ascontiguousarray(table, dtype=np.int64).tobytes())
    draws = stats.random_table(rows, columns).rvs(permutations, random_state=seed)  # [n, E, C]
    share = draws / table.sum()
    joint = -(share * np.log2(np.where(share > 0, share, 1))).sum((1, 2))
    null = entropy_in_bits(rows) + entropy_in_bits(columns) - joint
    # The tolerance counts a draw equal to the table as "as large", whatever the summation order.
    as_large = int((null >= seen - 1e-12).sum())
    return {
        "mutual_information": seen - float(null.mean()),
        "mutual_information_null": float(null.mean()),
        "mutual_information_p_value": (1 + as_large) / (1 + permutations),
    }
