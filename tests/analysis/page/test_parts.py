"""The tables, maps and drawings of the page show the numbers that they are given."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from moe_lab.analysis.page.chart import decimated, line_chart
from moe_lab.analysis.page.class_tables import class_table, confusion_map, confusion_table
from moe_lab.analysis.page.curves import training_charts
from moe_lab.analysis.page.health import health_part
from moe_lab.analysis.page.html_table import spell_number
from moe_lab.analysis.page.layers import layers_of
from moe_lab.analysis.page.overview import duration
from moe_lab.analysis.page.routing import expert_table, heat_maps
from tests.analysis.page.samples import CONFUSION, ROUTING, TABLES

NAMES = ["cat", "dog", "bird"]


def test_scores_of_classes_are_those_of_scikit_learn() -> None:
    confusion = np.array(CONFUSION)
    pairs = [(y, a) for y in range(3) for a in range(3) for _ in range(confusion[y, a])]
    expected = precision_recall_fscore_support(*zip(*pairs, strict=True))
    table = class_table(confusion, NAMES)
    for column, values in zip((3, 4, 5, 1), expected, strict=True):
        found = [row[column].value for row in table.rows]
        assert found == pytest.approx(list(values))


def test_a_class_without_images_or_answers_has_no_score() -> None:
    table = class_table(np.array([[3, 0], [0, 0]]), ["a", "b"])
    assert [cell.text for cell in table.rows[1]] == ["b", "0", "0", "-", "-", "-"]


def test_mistakes_come_in_order_and_only_those_that_were_made() -> None:
    table = confusion_table(np.array(CONFUSION), NAMES)
    shown = [[cell.text for cell in row] for row in table.rows]
    assert shown == [["dog", "cat", "10", "33.3 %"], ["bird", "cat", "5", "25.0 %"]]


def test_a_matrix_of_very_many_classes_is_not_drawn() -> None:
    assert confusion_map(np.eye(25, dtype=np.int64), ["x"] * 25) is not None
    assert confusion_map(np.eye(26, dtype=np.int64), ["x"] * 26) is None


def test_experts_are_shown_with_their_work_and_their_classes() -> None:
    (layer,) = layers_of(ROUTING, TABLES)
    table = expert_table(layer, NAMES)
    assert table is not None
    assert [cell.text for cell in table.rows[0]] == [
        "0", "25.0 %", "25.0 %", "25", "88.0 %", "cat (80 %), dog (20 %)",
    ]  # fmt: skip
    assert table.rows[1][4].value == pytest.approx((30 + 0.72 * 25 + 0.75 * 20) / 75)
    assert table.rows[0][1].bar == pytest.approx(1 / 3)  # of the busiest
    assert table.mark == pytest.approx(2 / 3)  # a fair share is half of all


def test_an_expert_without_images_has_no_accuracy_and_no_class() -> None:
    tables = {"load": [1.0, 0.0], "used_share": [1.0, 0.0],
              "first": [[14, 14], [0, 0]], "accuracy_by_class": [[1.0, 0.5], [None, None]],
              "class_share": [[0.5, 0.5], [None, None]], "expert_share": [[1, 1], [0, 0]],
              "co_activation": [[8, 0], [0, 0]]}  # fmt: skip
    (layer,) = layers_of(ROUTING, {"layers": {"router": tables}})
    table = expert_table(layer, ["a", "b"])
    assert table is not None
    assert [cell.text for cell in table.rows[1]][3:] == ["0", "-", "-"]
    maps = {heat.caption: heat for heat in heat_maps(layer, ["a", "b"])}
    assert maps["Accuracy of each expert by class"].texts == [["100", "50"], ["-", "-"]]
    assert "Experts used together" not in maps  # one shares with none, the other was never used


def test_an_accuracy_on_fewer_than_ten_images_is_not_shown() -> None:
    tables = TABLES["layers"]["router"] | {"first": [[1, 9, 10], [0, 2, 3]]}  # type: ignore[index]
    tables |= {"accuracy_by_class": [[0.0, 1.0, 0.5], [None, 0.5, 0.0]]}
    (layer,) = layers_of(ROUTING, {"layers": {"router": tables}})
    maps = {heat.caption: heat for heat in heat_maps(layer, NAMES)}
    cells = maps["Accuracy of each expert by class"]
    assert cells.texts == [["-", "-", "50"], ["-", "-", "-"]]
    assert cells.shades == [[None, None, 0.5], [None, None, None]]
    table = expert_table(layer, NAMES)
    assert table is not None
    # 14 of 20 first choices are right; five are too few to say.
    assert [row[4].text for row in table.rows] == ["70.0 %", "-"]


def test_experts_used_together_are_shares_of_the_rows_images() -> None:
    together = [[10, 5, 0], [5, 20, 15], [0, 15, 15]]
    layer_tables = TABLES["layers"]["router"] | {"load": [0.2, 0.4, 0.4], "co_activation": together}  # type: ignore[index]
    (layer,) = layers_of(ROUTING, {"layers": {"router": layer_tables}})
    heat = heat_maps(layer, NAMES)[-1]
    assert heat.texts == [["100", "50", "0"], ["25", "100", "75"], ["0", "100", "100"]]


def test_a_drawing_puts_points_where_their_values_are() -> None:
    chart = line_chart("loss", {"training": [(0, 0.0), (10, 1.0)], "validation": [(5, 0.5)]})
    (first, last), (middle,) = (line.points for line in chart.lines)
    ticks = {label: position for position, label in chart.y_ticks}
    assert first[:2] == (chart.left, ticks["0"])
    assert last[:2] == (chart.right, ticks["1"])
    assert middle[0] == pytest.approx((chart.left + chart.right) / 2, abs=0.1)
    assert middle[1] == pytest.approx((ticks["0"] + ticks["1"]) / 2, abs=0.1)
    assert [line.style for line in chart.lines] == [1, 2]


@pytest.mark.parametrize("value", [0.0, 1.0, -3e-7, 1e9])
def test_a_line_of_equal_values_can_be_drawn(value: float) -> None:
    chart = line_chart("flat", {"training": [(3, value)]})
    ((x, y, _),) = chart.lines[0].points
    assert chart.left <= x <= chart.right
    assert 0 < y < chart.bottom


def test_long_lines_are_thinned_and_keep_their_end() -> None:
    points = [(step, 0.0) for step in range(1001)]
    kept = decimated(points)
    assert len(kept) <= 300
    assert kept[-1] == (1000, 0.0)
    assert decimated(points[:300]) == points[:300]


def test_curves_of_one_quantity_stand_together_and_the_test_is_no_step_of_training() -> None:
    metrics = [
        {"step": 1, "epoch": 0, "train_loss": 3.0},
        {"step": 2, "epoch": 0, "train_epoch_loss": 2.0, "val_usage_entropy": 1.0},
        {"step": 2, "epoch": 0, "val_loss": 1.5, "val_routing_entropy": 0.5, "val_load_cv": None},
        {"step": 3, "epoch": 1, "val_loss": 1.5},  # of the best weights, before the test
        {"step": 3, "epoch": 1, "test_loss": 1.4},
    ]
    first, others = training_charts(metrics, epochs=1)
    assert [chart.title for chart in first] == ["loss", "entropies"]
    shown = {line.name: [text for *_, text in line.points] for line in first[0].lines}
    assert shown == {"training": ["training, step 2: 2"], "validation": ["validation, step 2: 1.5"]}
    assert {line.name for line in first[1].lines} == {"usage entropy", "routing entropy"}
    assert [chart.title for chart in others] == ["loss of single steps"]


def test_a_trouble_that_lasts_is_one_row() -> None:
    checks = [
        {"step": step, "layer": "router", "share": [0.0, 1.0], "alarm": None,
         "advice": [f"expert 0 unused for {step} steps: raise x (now 0.05)"]}
        for step in (50, 100, 150)
    ]  # fmt: skip
    checks[2]["alarm"] = "expert 1 has 100% of the weight"
    part = health_part(checks)
    assert part is not None
    assert part.events is not None
    advice, alarm = ([cell.text for cell in row] for row in part.events.rows)
    assert advice[:5] == ["advice", "router", "50", "150", "3"]
    assert advice[5].startswith("expert 0 unused for 150 steps")
    assert alarm[:5] == ["alarm", "router", "150", "150", "1"]
    assert part.strips[0].shades == [[0.0] * 3, [1.0] * 3]


def test_use_over_time_is_dark_at_two_fair_shares_and_never_wide() -> None:
    checks = [{"step": s, "layer": "a", "share": [0.25, 0.75], "alarm": None, "advice": []}
              for s in range(1000)]  # fmt: skip
    part = health_part(checks)
    assert part is not None
    assert part.events is None
    assert part.strips[0].shades[0][0] == 0.25
    assert len(part.strips[0].columns) <= 60
    assert part.strips[0].columns[-1] == "999"
    assert health_part([]) is None


def test_numbers_are_spelled_so_that_they_can_be_read() -> None:
    values = [0.0, 3.0, 1640784.0, 0.123456, 12345.6, math.pi * 1000]
    shown = [spell_number(value) for value in values]
    assert shown == ["0", "3", "1,640,784", "0.1235", "12,346", "3142"]
    assert [duration(s) for s in (0.04, 61, 7300)] == ["0.0 s", "1 min 01 s", "2 h 01 min"]
