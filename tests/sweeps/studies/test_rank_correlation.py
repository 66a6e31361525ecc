"""Relations between two numbers over the rows of a study."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

from moe_lab.comparison.found_runs import Group, Run
from moe_lab.comparison.recipe import Recipe
from moe_lab.sweeps.studies.definition import Relation
from moe_lab.sweeps.studies.rank_correlation import relate

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
    constant = relate(RELATION, rows([2] * 6, [1, 2, 3, 4, 5, 6]))
    assert constant["correlation"] is None
