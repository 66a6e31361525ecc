"""Routing statistics by hand, and where there is little to count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from moe_lab.metrics.routing import RoutingStatistics
from moe_lab.outputs import Routing


def measured(
    weights: torch.Tensor,
    target: torch.Tensor,
    correct: torch.Tensor | None = None,
    num_classes: int | None = None,
) -> RoutingStatistics:
    """A metric fed with one batch whose probs are its weights."""
    metric = RoutingStatistics(weights.shape[1], num_classes or int(target.max()) + 1)
    right = torch.ones(len(target), dtype=torch.bool) if correct is None else correct
    metric.update(Routing(weights, weights, weights), target, right)
    return metric


def statistics(weights: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    return measured(weights, target).compute()


WEIGHTS = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
TARGET = torch.tensor([0, 0, 1, 1])


def test_statistics_of_a_worked_matrix() -> None:
    found = statistics(WEIGHTS, TARGET)
    # weight 2.5, 1.5, 0 of 4 images; CV of (5/8, 3/8, 0) = sqrt(34/192 - 1/9) / (1/3)
    assert found["max_load_share"] == pytest.approx(0.625)
    assert found["max_load_ratio"] == pytest.approx(1.875)
    assert found["load_cv"] == pytest.approx(3 * np.sqrt(34 / 192 - 1 / 9))
    assert found["dead_experts"] == 1
    assert found["experts_per_image"] == pytest.approx(1.25)
    assert found["routing_entropy"] == pytest.approx(0.25)  # one image of four has 1 bit
    assert found["usage_entropy"] == pytest.approx(stats.entropy([2.5, 1.5], base=2))
    # mean weights of class 0 are 3/4, 1/4, those of class 1 are 1/2, 1/2
    class_0 = stats.entropy([3, 1], base=2)
    assert found["class_entropy"] == pytest.approx((class_0 + 1) / 2)
    assert found["router_confidence"] == pytest.approx(3.5 / 4)
    assert found["router_margin"] == pytest.approx(3 / 4)


def test_tables_of_a_worked_matrix() -> None:
    correct = torch.tensor([True, False, True, False])
    tables = measured(WEIGHTS, TARGET, correct).tables()
    assert tables["load"] == pytest.approx([0.625, 0.375, 0.0])
    assert tables["used_share"] == [0.75, 0.5, 0.0]
    assert tables["mass"] == [[1.5, 1.0], [0.5, 1.0], [0.0, 0.0]]
    assert tables["first"] == [[2, 1], [0, 1], [0, 0]]
    assert tables["co_activation"] == [[3, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert tables["class_routing_entropy"] == pytest.approx([0.5, 0.0])
    np.testing.assert_allclose(
        tables["accuracy_by_class"], [[0.5, 0], [np.nan, 1], [np.nan, np.nan]]
    )


def test_uniform_use_has_the_most_entropy_and_collapse_none() -> None:
    uniform = statistics(torch.eye(8), torch.arange(8) % 2)
    assert uniform["usage_entropy"] == pytest.approx(3.0)
    assert uniform["load_cv"] == pytest.approx(0.0)
    assert uniform["max_load_ratio"] == pytest.approx(1.0)
    collapsed = torch.zeros(8, 8)
    collapsed[:, 3] = 1
    found = statistics(collapsed, torch.arange(8) % 2)
    assert (found["usage_entropy"], found["dead_experts"]) == (0.0, 7)
    assert found["load_cv"] == pytest.approx(np.sqrt(7))
    assert found["mutual_information"] == 0.0
    assert found["mutual_information_p_value"] == 1.0
    assert found["specialisation"] == 0.0


def test_guidance_needs_as_many_experts_as_classes() -> None:
    weights, target = torch.eye(4)[[0, 1, 2, 3, 3]], torch.tensor([0, 1, 2, 3, 0])
    assert statistics(weights, target)["guidance_diagonal"] == 0.8
    assert "guidance_diagonal" not in statistics(torch.eye(4), torch.tensor([0, 1, 2, 2]))


def test_confidence_and_margin_are_those_of_the_probs() -> None:
    probs = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.1, 0.4]])
    metric = RoutingStatistics(3, 2)
    every = torch.ones(2, dtype=torch.bool)
    metric.update(Routing(probs.log(), probs, torch.eye(3)[:2]), torch.tensor([0, 1]), every)
    found = metric.compute()
    assert found["router_confidence"] == pytest.approx(0.55)
    assert found["router_margin"] == pytest.approx((0.3 + 0.1) / 2)


def test_one_expert_is_sure_busy_and_says_nothing() -> None:
    found = statistics(torch.ones(6, 1), torch.arange(6) % 3)
    expected = {
        "load_cv": 0.0, "max_load_share": 1.0, "max_load_ratio": 1.0, "dead_experts": 0.0,
        "experts_per_image": 1.0, "routing_entropy": 0.0,
        "usage_entropy": 0.0, "class_entropy": 0.0, "router_confidence": 1.0,
        "router_margin": 1.0, "mutual_information": 0.0, "mutual_information_null": 0.0,
        "mutual_information_p_value": 1.0, "specialisation": 0.0,
    }  # fmt: skip
    assert found == expected


def test_an_image_without_any_expert_counts_for_nothing_but_itself() -> None:
    weights = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    correct = torch.tensor([True, False, True])
    metric = measured(weights, torch.tensor([1, 1, 2]), correct, num_classes=3)
    found, tables = metric.compute(), metric.tables()
    assert found["experts_per_image"] == pytest.approx(2 / 3)
    assert found["max_load_share"] == 1.0
    assert tables["first"] == [[0, 1, 1], [0, 0, 0]]
    assert tables["accuracy_by_class"][0][1:] == [0.0, 1.0]
    assert tables["class_entropy"][1:] == [0.0, 0.0]
    assert np.isnan(tables["class_entropy"][0])
    assert tables["class_routing_entropy"][1:] == [0.0, 0.0]


def test_where_no_image_has_an_expert_every_value_is_still_a_number() -> None:
    found = statistics(torch.zeros(3, 4), torch.tensor([0, 1, 1]))
    assert all(np.isfinite(value) for value in found.values())
    assert (found["load_cv"], found["max_load_ratio"], found["dead_experts"]) == (0.0, 0.0, 4.0)


def test_mixed_precision_does_not_round_the_counts() -> None:
    images = 1001  # not one of bfloat16's numbers
    weights = torch.full((images, 2), 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        metric = measured(weights, torch.zeros(images, dtype=torch.int64), num_classes=2)
    assert metric.tables()["co_activation"] == [[images, images], [images, images]]
    assert metric.compute()["experts_per_image"] == 2.0
