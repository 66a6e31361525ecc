from __future__ import annotations

import numpy as np
import pytest

from moe_lab.analysis.plots import accuracy_against_cost, box_plots
from moe_lab.analysis.plots.group_figures import front_of


def run(accuracy: float | None, size: int, seconds: float = 1.0) -> dict[str, float | None]:
    return {
        "test_accuracy": accuracy, "params_total": size, "flops_per_image": 2 * size,
        "train_seconds": seconds,
    }  # fmt: skip


GROUPS = {
    "sparse": [run(0.90, 100), run(0.92, 100), run(0.94, 100)],
    "dense": [run(0.80, 10), run(0.91, 1000)],
    "failed": [{"status": "failed"}],
}


def test_a_box_has_the_median_and_every_run_is_a_dot() -> None:
    (axes,) = box_plots(GROUPS).axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["sparse (n = 3)", "dense (n = 2)"]
    dots = [np.asarray(dots.get_offsets())[:, 0].tolist() for dots in axes.collections]
    assert dots == [[0.90, 0.92, 0.94], [0.80, 0.91]]
    medians = [line.get_xdata() for line in axes.get_lines() if line.get_color() == "black"]
    assert 0.92 in {float(x[0]) for x in medians if x[0] == x[1]}
    assert axes.get_xlabel() == "test accuracy"


def test_nothing_to_compare_is_an_empty_figure() -> None:
    box_plots({"failed": [{"status": "failed"}]}).draw_without_rendering()
    accuracy_against_cost({}).draw_without_rendering()


def test_points_lie_at_cost_and_accuracy_on_a_log_scale() -> None:
    figure = accuracy_against_cost(GROUPS)
    sizes, flops, seconds = figure.axes
    assert np.asarray(sizes.collections[1].get_offsets()).tolist() == [[10, 0.80], [1000, 0.91]]
    assert np.asarray(flops.collections[1].get_offsets())[:, 0].tolist() == [20, 2000]
    assert {panel.get_xscale() for panel in (sizes, flops, seconds)} == {"log"}
    front = sizes.get_lines()[0]
    assert (list(front.get_xdata()), list(front.get_ydata())) == ([10, 100], [0.80, 0.94])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["sparse", "dense", "Pareto front"]


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([[1, 0.5]], [[1, 0.5]]),
        ([[2, 0.9], [1, 0.5], [3, 0.8]], [[1, 0.5], [2, 0.9]]),
        ([[1, 0.5], [1, 0.7], [2, 0.7]], [[1, 0.7]]),
    ],
)
def test_the_front_is_what_nothing_else_beats(
    points: list[list[float]], front: list[list[float]]
) -> None:
    assert front_of(np.array(points)).tolist() == front


def test_the_front_equals_the_definition_on_random_points() -> None:
    points = np.random.default_rng(0).random((60, 2))
    beaten = [any((o[0] <= p[0]) & (o[1] >= p[1]) & (o != p).any() for o in points) for p in points]
    expected = {tuple(point) for point, lost in zip(points, beaten, strict=True) if not lost}
    assert {tuple(point) for point in front_of(points)} == expected
