"""Routing statistics: by hand, against a reference, and under the null."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import mutual_info_score

from moe_lab.metrics import RoutingStatistics, mutual_information, plug_in_information
from moe_lab.outputs import Routing


def routing(weights: torch.Tensor) -> Routing:
    return Routing(weights, weights, weights)


def statistics(weights: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    metric = RoutingStatistics(weights.shape[1], int(target.max()) + 1)
    metric.update(routing(weights), target)
    return metric.compute()


def test_statistics_of_a_worked_matrix() -> None:
    weights = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    found = statistics(weights, torch.tensor([0, 0, 1, 1]))
    # pairs 3, 2, 0 of 5; CV of (0.6, 0.4, 0) = sqrt(0.186667 - 1/9) / (1/3)
    assert found["max_load_share"] == pytest.approx(0.6)
    assert found["load_cv"] == pytest.approx(3 * np.std([0.6, 0.4, 0.0]))
    assert found["dead_experts"] == 1
    assert found["experts_per_image"] == pytest.approx(1.25)
    assert found["routing_entropy"] == pytest.approx(0.25)  # one image of four has 1 bit
    assert found["usage_entropy"] == pytest.approx(stats.entropy([2.5, 1.5], base=2))


def test_uniform_use_has_the_most_entropy_and_collapse_none() -> None:
    uniform = statistics(torch.eye(8), torch.arange(8) % 2)
    assert uniform["usage_entropy"] == pytest.approx(3.0)
    assert uniform["load_cv"] == pytest.approx(0.0)
    collapsed = torch.zeros(8, 8)
    collapsed[:, 3] = 1
    found = statistics(collapsed, torch.arange(8) % 2)
    assert (found["usage_entropy"], found["dead_experts"]) == (0.0, 7)
    assert found["load_cv"] == pytest.approx(np.sqrt(7))
    assert found["mutual_information"] == 0.0
    assert found["mutual_information_p_value"] == 1.0


def test_batch_size_does_not_change_the_statistics() -> None:
    torch.manual_seed(0)
    weights, target = torch.rand(60, 4).softmax(-1), torch.randint(0, 3, (60,))
    whole = statistics(weights, target)
    metric = RoutingStatistics(4, 3)
    for start in range(0, 60, 7):
        metric.update(routing(weights[start : start + 7]), target[start : start + 7])
    assert metric.compute() == pytest.approx(whole, rel=1e-6)


def test_an_image_without_any_expert_counts_for_nothing_but_itself() -> None:
    found = statistics(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    assert found["experts_per_image"] == 0.5
    assert found["max_load_share"] == 1.0


def test_plug_in_information_equals_the_reference() -> None:
    rng = np.random.default_rng(0)
    experts, labels = rng.integers(0, 5, 300), rng.integers(0, 7, 300)
    table = np.zeros((5, 7), dtype=np.int64)
    np.add.at(table, (experts, labels), 1)
    expected = mutual_info_score(experts, labels) / np.log(2)
    assert plug_in_information(table) == pytest.approx(expected)


def test_perfect_specialisation_is_the_entropy_of_the_labels_less_the_bias() -> None:
    found = mutual_information(np.diag([100] * 4))
    assert found["mutual_information"] + found["mutual_information_null"] == pytest.approx(2.0)
    assert found["mutual_information_p_value"] == pytest.approx(1 / 1000)


def test_the_null_of_500_images_and_8_experts_is_the_known_bias() -> None:
    rng = np.random.default_rng(0)
    table = np.zeros((8, 10), dtype=np.int64)
    np.add.at(table, (rng.integers(0, 8, 500), rng.integers(0, 10, 500)), 1)
    # (E - 1)(C - 1) / (2 N ln 2) = 0.0909 bits to first order
    assert mutual_information(table)["mutual_information_null"] == pytest.approx(0.0909, rel=0.06)


def test_without_dependence_the_p_value_is_uniform_and_the_value_centres_on_zero() -> None:
    rng = np.random.default_rng(1)
    values, p_values = [], []
    for _ in range(200):
        table = np.zeros((4, 5), dtype=np.int64)
        np.add.at(table, (rng.integers(0, 4, 200), rng.integers(0, 5, 200)), 1)
        found = mutual_information(table, permutations=199)
        values.append(found["mutual_information"])
        p_values.append(found["mutual_information_p_value"])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
