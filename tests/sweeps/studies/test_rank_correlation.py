"""Relations between two numbers over the rows of a study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from moe_lab.comparison.found_runs import Group, Run
from moe_lab.comparison.recipe import Recipe
from moe_lab.sweeps.studies.definition import Relation
from moe_lab.sweeps.studies.rank_correlation import correlate, correlation_interval, relate

RELATION = Relation("Does x mean y?", "x", "y")


def row(name: str, pairs: list[tuple[float | None, float]]) -> Group:
    summaries = [
        {"seed": seed, "y": y, **({} if x is None else {"x": x})}
        for seed, (x, y) in enumerate(pairs)
    ]
    runs = tuple(Run(Path(name), summary) for summary in summaries)
    return Group(name, name, runs, Recipe({}, exact=False))


def rows(first: list[float], second: list[float]) -> list[Group]:
    return [row(str(n), [(x, y)]) for n, (x, y) in enumerate(zip(first, second, strict=True))]


def test_the_correlation_is_scipys() -> None:
    first, second = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [2.0, 1.0, 4.0, 3.0, 7.0, 5.0, 6.0]
    found = relate(RELATION, rows(first, second))
    expected = stats.spearmanr(first, second)
    assert found["correlation"] == pytest.approx(expected.statistic)
    exact = stats.permutation_test(
        (first,), lambda x: stats.spearmanr(x, second).statistic, permutation_type="pairings"
    )
    assert found["p_value"] == pytest.approx(exact.pvalue, abs=0.005)
    assert found["interval"][0] < expected.statistic <= found["interval"][1] <= 1
    assert found["answer"].startswith("More goes with more: rank correlation 0.82")


def test_falling_rows_are_more_with_less() -> None:
    found = relate(RELATION, rows([1, 2, 3, 4, 5, 6], [9, 8, 7, 6, 5, 4]))
    assert found["correlation"] == pytest.approx(-1.0)
    assert found["p_value"] == pytest.approx(2 / 720)  # both orders of 6! that are as extreme
    assert "More goes with less" in found["answer"]


def test_seeds_of_a_row_count_once() -> None:
    several = [row(str(n), [(n + 1.0, n), (n - 1.0, n + 2.0)]) for n in range(5)]
    assert relate(RELATION, several)["rows"] == 5
    assert relate(RELATION, several)["correlation"] == pytest.approx(1.0)


def test_rows_without_the_number_are_left_out_and_too_few_have_no_answer() -> None:
    groups = [*rows([1, 2, 3, 4], [1, 2, 3, 4]), row("dense", [(None, 5.0)])]
    found = relate(RELATION, groups)
    assert (found["rows"], found["correlation"]) == (4, None)
    assert "at least five rows" in found["answer"]
    assert "Without dense" in found["answer"]
    constant = relate(RELATION, rows([2] * 6, [1, 2, 3, 4, 5, 6]))
    assert constant["correlation"] is None


def test_a_row_that_is_no_number_is_left_out_and_named() -> None:
    groups = rows([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5])
    broken = [row("broken", [(float("nan"), 0.5)]), row("half", [(1.0, 0.5), (float("nan"), 1)])]
    found, without = relate(RELATION, [*groups, *broken]), relate(RELATION, groups)
    assert found["left_out"] == ["broken", "half"]
    assert (found["rows"], found["correlation"]) == (6, without["correlation"])
    assert found["answer"] == without["answer"] + (
        " Without broken, half, where it was not measured."
    )


def test_ties_share_their_mean_rank() -> None:
    # ranks 1.5, 1.5, 3, 4, 5 against 1, 2, 3, 4.5, 4.5: deviations from 3 are
    # -1.5, -1.5, 0, 1, 2 and -2, -1, 0, 1.5, 1.5, so 9 / sqrt(9.5 * 9.5)
    found = relate(RELATION, rows([1, 1, 2, 3, 4], [10, 20, 30, 40, 40]))
    assert found["correlation"] == pytest.approx(9 / 9.5)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=5, max_size=20))
def test_an_estimate_lies_in_its_interval_however_many_ties(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, dtype=float).T
    assume(np.ptp(first) > 0 and np.ptp(second) > 0)
    correlation = float(correlate(first, second))
    low, high = correlation_interval(correlation, len(pairs))
    assert -1 <= low <= correlation <= high <= 1
    assert low < high
    assert correlation_interval(-correlation, len(pairs)) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("count", "rho"), [(8, 0.5), (15, 0.0), (15, 0.5), (15, 0.8), (30, 0.8)])
def test_intervals_of_correlations_hold_the_truth_as_often_as_they_say(
    count: int, rho: float
) -> None:
    generator = np.random.default_rng(count)
    first = generator.normal(size=(2000, count))
    second = rho * first + np.sqrt(1 - rho**2) * generator.normal(size=(2000, count))
    truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's, of a bivariate normal distribution
    intervals = [correlation_interval(found, count) for found in correlate(first, second).tolist()]
    held = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.93 <= held <= 0.975
