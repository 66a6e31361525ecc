"""What load means, for any routing: one definition that evaluation, health and losses share."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from moe_lab.losses.switch_balance import load_share
from moe_lab.metrics.routing import RoutingStatistics
from moe_lab.outputs import Routing, weight_shares
from moe_lab.training.health import UsageWindow, sign_of_collapse
from tests.losses.samples import routings

NUM_CLASSES = 3


def measured(weights: Tensor) -> tuple[dict[str, float], dict[str, list[float]]]:
    num_images, num_experts = weights.shape
    metric = RoutingStatistics(num_experts, NUM_CLASSES)
    target = torch.arange(num_images) % NUM_CLASSES
    metric.update(Routing(weights, weights, weights), target, target == 0)
    return metric.compute(), metric.tables()


def by_hand(weights: Tensor) -> list[float]:
    """The load of each expert, image by image and expert by expert."""
    load, images = [0.0] * weights.shape[1], 0
    for row in weights.tolist():
        if sum(row) > 0:
            images += 1
            load = [so_far + weight / sum(row) for so_far, weight in zip(load, row, strict=True)]
    return [value / max(1, images) for value in load]


@settings(deadline=None)
@given(routings())
def test_load_is_the_mean_share_of_an_images_weight_everywhere(routing: Routing) -> None:
    weights = routing.weights
    _, tables = measured(weights)
    expected = by_hand(weights)
    assert tables["load"] == pytest.approx(expected, abs=1e-5)
    if weights.any():  # before any weight was given out, none of the two sees a difference
        window = UsageWindow(4)
        window.add(weights)
        assert window.read(4).share == pytest.approx(expected, abs=1e-5)
        assert load_share(weights).tolist() == pytest.approx(expected, abs=1e-5)


@settings(deadline=None)
@given(routings())
def test_loads_sum_to_one_and_every_expert_is_dead_or_alive(routing: Routing) -> None:
    assume(bool(routing.weights.any()))  # without any weight there is no load
    values, tables = measured(routing.weights)
    num_experts = routing.num_experts
    load = tables["load"]
    assert sum(load) == pytest.approx(1.0, abs=1e-5)
    alive = sum(share >= 0.01 / num_experts for share in load)
    assert values["dead_experts"] + alive == num_experts
    assert values["dead_experts"] < num_experts
    # The largest load and the spread of all, in the ranges of shares of one whole.
    assert 1 / num_experts - 1e-5 <= values["max_load_share"] <= 1 + 1e-5
    assert 0 <= values["load_cv"] <= np.sqrt(num_experts - 1) + 1e-4


@settings(deadline=None)
@given(routings(), st.randoms(use_true_random=False))
def test_the_numbering_of_experts_changes_no_number(routing: Routing, random: Random) -> None:
    order = list(range(routing.num_experts))
    random.shuffle(order)
    before, after = measured(routing.weights)[0], measured(routing.weights[:, order])[0]
    for name in ("load_cv", "max_load_share", "dead_experts", "usage_entropy", "routing_entropy"):
        assert after[name] == pytest.approx(before[name], abs=1e-5), name


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_equal_weights_count_images_as_papers_do(top_k: int) -> None:
    weights = torch.zeros(8, 4)
    for image in range(8):
        weights[image, [(image * step) % 4 for step in range(top_k)]] = 1.0
    counts = (weights != 0).sum(0)
    expected = weight_shares(weights).sum(0) / 8
    assert measured(weights)[1]["load"] == pytest.approx(expected.tolist())
    if top_k == 1:
        assert expected.tolist() == (counts / 8).tolist()


def test_a_router_that_asks_all_and_hears_one_has_collapsed() -> None:
    weights = torch.full((50, 8), 1e-5)
    weights[:, 4] = 1 - 7e-5
    values, tables = measured(weights)
    assert values["dead_experts"] == 7
    assert values["max_load_share"] == pytest.approx(1 - 7e-5)
    # all in one of eight: standard deviation sqrt(7) / 8 over a mean of 1 / 8
    assert values["load_cv"] == pytest.approx(np.sqrt(7), rel=1e-3)
    assert tables["used_share"] == [1.0] * 8
    window = UsageWindow(2)
    window.add(weights)
    seen = window.read(2)
    assert seen.dead == [0, 1, 2, 3, 5, 6, 7]
    assert sign_of_collapse(seen) == "expert 4 has 100% of the weight"


def test_an_expert_is_dead_below_a_hundredth_of_a_fair_load() -> None:
    for share, dead in ((0.0099, 1), (0.0101, 0)):
        faint = share / 4
        weights = torch.tensor([[faint, *[(1 - faint) / 3] * 3]])
        assert measured(weights)[0]["dead_experts"] == dead
