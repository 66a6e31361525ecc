from __future__ import annotations

import numpy as np

from moe_lab.analysis.plots import CostPoint, accuracy_against_cost, box_plots


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
    accuracy_against_cost([], COSTS).draw_without_rendering()


COSTS = {"params_total": "total parameters", "train_seconds": "training seconds"}
POINTS = [
    CostPoint("sparse", 92.0, (90.0, 94.0), {"params_total": 100.0, "train_seconds": 2.0},
              {"params_total": True, "train_seconds": True}),
    CostPoint("dense", 91.0, None, {"params_total": 10.0, "train_seconds": 4.0},
              {"params_total": True, "train_seconds": False}),
    CostPoint("wide", 91.5, (91.0, 92.0), {"params_total": 1000.0, "train_seconds": None},
              {"params_total": False, "train_seconds": None}),
]  # fmt: skip


def test_a_group_is_its_mean_with_its_interval_on_a_log_scale() -> None:
    sizes, seconds = accuracy_against_cost(POINTS, COSTS, "test accuracy, %").axes
    means = [bar.lines[0].get_xydata().tolist() for bar in sizes.containers]
    assert means == [[[100, 92.0]], [[10, 91.0]], [[1000, 91.5]]]
    (bar,) = sizes.containers[0].lines[2]
    assert bar.get_segments()[0].tolist() == [[100, 90.0], [100, 94.0]]
    assert len(seconds.containers) == 2, "a cost that is not known is not drawn"
    assert {panel.get_xscale() for panel in (sizes, seconds)} == {"log"}
    assert sizes.get_ylabel() == "test accuracy, %"


def test_the_line_joins_the_groups_that_the_table_stars() -> None:
    figure = accuracy_against_cost(POINTS, COSTS)
    fronts = [next(x for x in axes.get_lines() if x.get_label() == "Pareto front")
              for axes in figure.axes]  # fmt: skip
    assert fronts[0].get_xydata().tolist() == [[10, 91.0], [100, 92.0]]
    assert fronts[1].get_xydata().tolist() == [[2, 92.0]]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(names) == ["Pareto front", "dense", "sparse", "wide"]
