"""The front of accuracy against cost."""

from __future__ import annotations

import numpy as np

from moe_lab.analysis.pareto import pareto_front


def test_a_point_is_beaten_by_one_that_is_as_good_and_cheaper_or_as_cheap_and_better() -> None:
    costs = [1.0, 2.0, 2.0, 3.0, 3.0, None]
    scores = [0.5, 0.7, 0.6, 0.7, 0.8, 0.9]
    assert pareto_front(costs, scores) == [True, True, False, False, True, None]


def test_equal_points_are_both_on_the_front() -> None:
    assert pareto_front([1.0, 1.0], [0.5, 0.5]) == [True, True]


def test_what_costs_nothing_known_beats_nobody() -> None:
    assert pareto_front([None, 5.0], [0.9, 0.1]) == [None, True]


def test_the_front_equals_the_definition_on_random_points() -> None:
    points = np.random.default_rng(0).integers(0, 8, (60, 2)).astype(float)
    costs, scores = points.T.tolist()
    expected = [
        not any((o[0] <= p[0]) & (o[1] >= p[1]) & (o != p).any() for o in points) for p in points
    ]
    assert pareto_front(costs, scores) == expected
