"""The range of every balance term, for any routing and any number of experts per image."""

from __future__ import annotations

import dataclasses
import math
from random import Random

import pytest
import torch
from hypothesis import assume, given, settings
from scipy import stats
from torch import Tensor

from moe_lab.losses import (
    Capacity,
    Gini,
    Importance,
    KLUniform,
    Load,
    RoutingTerm,
    SwitchBalance,
    Variance,
)
from moe_lab.outputs import MixtureOutput, Routing
from moe_lab.routers import NoisyTopKRouter, TopKRouter
from tests.losses.samples import TARGET, mixture, name, one_hot, routings
from tests.routers.fixed import ScoresGate

BALANCE = [SwitchBalance(), Importance(), Load(), Variance(), Gini(), KLUniform()]
E = 8


@torch.no_grad()
def value(term: RoutingTerm, routing: Routing) -> float:
    output = MixtureOutput(torch.zeros(len(routing.weights), 2), routing)
    return float(term(output, torch.zeros(len(routing.weights), dtype=torch.int64)))


def each_expert_in_turn(routing: Routing) -> Routing:
    """The routing once for every rotation of the experts: balanced, whatever it was."""

    def turned(matrix: Tensor) -> Tensor:
        return torch.cat([matrix.roll(shift, dims=1) for shift in range(matrix.shape[1])])

    return Routing(turned(routing.logits), turned(routing.probs), turned(routing.weights))


def partly_collapsed(routing: Routing, sure: int, of: int) -> Routing:
    """The routing `of` times, but in `sure` of them all images with expert 0 without a doubt."""
    one = one_hot([0] * len(routing.weights), routing.num_experts)

    def put_together(matrix: Tensor) -> Tensor:
        return torch.cat([one] * sure + [matrix] * (of - sure))

    return Routing(
        put_together(routing.logits), put_together(routing.probs), put_together(routing.weights)
    )


@pytest.mark.parametrize("top_k", [1, 2, 4])
@pytest.mark.parametrize("term", BALANCE, ids=name)
def test_it_is_one_at_balance_and_e_where_one_expert_has_everything(
    term: RoutingTerm, top_k: int
) -> None:
    router = TopKRouter(ScoresGate(E), top_k)
    balanced = torch.stack([torch.arange(E).roll(shift) for shift in range(E)]).float()
    assert value(term, router(balanced)) == pytest.approx(1.0, abs=1e-5)
    collapsed = torch.zeros(E, E)
    collapsed[:, 3] = 40.0  # the top_k - 1 others keep a weight of exp(-40)
    assert value(term, router(collapsed)) == pytest.approx(E, rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("term", BALANCE, ids=name)
def test_where_some_experts_share_everything_it_says_how_many(
    term: RoutingTerm, count: int
) -> None:
    weights = torch.zeros(6, E)
    weights[:, :count] = 1 / count
    expected = 1 + E - count if isinstance(term, Gini) else E / count
    assert value(term, Routing(weights, weights, weights)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("capacity_factor", [1.0, 1.25, 3.0])
@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_capacity_is_what_is_beyond_it_times_the_probability(
    capacity_factor: float, count: int
) -> None:
    weights = torch.zeros(6, E)
    weights[:, :count] = 1 / count
    found = value(Capacity(capacity_factor), Routing(weights, weights, weights))
    assert found == pytest.approx(max(0.0, E / count - capacity_factor), abs=1e-5)


@pytest.mark.parametrize("top_k", [1, 2, 4])
@pytest.mark.parametrize("capacity_factor", [1.25, 2.0])
def test_capacity_at_total_collapse_does_not_depend_on_top_k(
    capacity_factor: float, top_k: int
) -> None:
    collapsed = torch.zeros(4, E)
    collapsed[:, 0] = 40.0
    routing = TopKRouter(ScoresGate(E), top_k)(collapsed)
    assert value(Capacity(capacity_factor), routing) == pytest.approx(E - capacity_factor)


@pytest.mark.parametrize(("top_k", "one_sure"), [(1, 8.0), (2, 16 / 7), (4, 8 / 7)])
def test_load_under_noise_counts_picks_of_which_an_image_has_top_k(
    top_k: int, one_sure: float
) -> None:
    # One expert sure of its place, the top_k - 1 others by chance among seven:
    # shares 1/k and (k - 1)/(7 k), so 8 * (1 + (k - 1)^2 / 7) / k^2 = 8, 16/7, 8/7.
    router = NoisyTopKRouter(ScoresGate(E), E, top_k).train()
    logits = torch.zeros(4000, E)
    logits[:, 2] = 60.0
    torch.manual_seed(0)
    routing = router(logits)
    assert routing.selection_probs is not None
    assert value(Load(), routing) == pytest.approx(one_sure, rel=0.02)
    # The same top_k experts for every image: E / top_k.
    logits[:, :top_k] = 60.0
    logits[:, top_k:] = -60.0
    assert value(Load(), router(logits)) == pytest.approx(E / top_k, rel=1e-4)
    assert value(Load(), router(torch.zeros(4000, E))) == pytest.approx(1.0, abs=0.01)


def test_switch_balance_has_no_step_where_a_weight_underflows() -> None:
    # At a temperature of 0.05 a softmax gives expert 0 nearly all and the others less and less.
    logits = torch.zeros(64, E)
    logits[:, 0] = 1.0
    values = []
    for low in torch.linspace(-3.0, -6.0, 200):
        logits[0, 1] = low
        probs = (logits / 0.05).softmax(-1)
        values.append(value(SwitchBalance(), Routing(logits, probs, probs)))
    assert probs[0, 1] == 0 < (probs > 0).sum() == 64 * E - 1
    assert values[0] == pytest.approx(E, rel=1e-4)
    assert max(values) - min(values) < 1e-4


@settings(deadline=None)
@given(routings())
def test_no_routing_leaves_the_range(routing: Routing) -> None:
    num_experts = routing.num_experts
    for term in BALANCE:
        found = value(term, routing)
        # Load and mean probability are different vectors: their product has no least value of 1.
        least = 0.0 if isinstance(term, SwitchBalance) else 1.0
        assert least - 1e-4 <= found <= num_experts * (1 + 1e-4), name(term)
    dense = dataclasses.replace(routing, weights=routing.probs)
    assert value(SwitchBalance(), dense) >= 1 - 1e-4
    for factor in (1.0, 1.25):
        assert 0 <= value(Capacity(factor), routing) <= max(0, num_experts - factor) + 1e-3


@settings(deadline=None)
@given(routings())
def test_every_rotation_of_a_routing_together_is_balanced(routing: Routing) -> None:
    balanced = each_expert_in_turn(routing)
    for term in BALANCE:
        assert value(term, balanced) == pytest.approx(1.0, abs=1e-4), name(term)
    assert value(Capacity(1.0), balanced) == pytest.approx(0.0, abs=1e-4)


@settings(deadline=None, max_examples=50)
@given(routings())
def test_it_rises_with_every_share_of_images_that_goes_over_to_one_expert(routing: Routing) -> None:
    assume(bool(routing.weights.any(-1).all()))  # an image without an expert has no load to give
    balanced, num_experts = each_expert_in_turn(routing), routing.num_experts
    for term in BALANCE:
        if isinstance(term, Importance | Gini) and not is_normalised(balanced):
            continue  # they read raw weights, of which the other images may give out more or less
        before = 0.0
        for sure in range(6):
            found = value(term, partly_collapsed(balanced, sure, of=5))
            # Shares t + (1 - t) / E and (1 - t) / E, of which the squares sum to
            # (1 + (E - 1) t^2) / E and the Gini coefficient is t (E - 1) / E.
            t = sure / 5
            shares = [t + (1 - t) / num_experts, *[(1 - t) / num_experts] * (num_experts - 1)]
            expected = {
                Gini: 1 + (num_experts - 1) * t,
                KLUniform: num_experts / math.exp(stats.entropy(shares)),
            }.get(type(term), 1 + (num_experts - 1) * t**2)
            assert found == pytest.approx(expected, rel=1e-3), name(term)
            assert found > before or num_experts == 1, name(term)
            before = found


def is_normalised(routing: Routing) -> bool:
    total = routing.weights.sum(-1)
    return torch.allclose(total, torch.ones_like(total), atol=1e-5)


@settings(deadline=None)
@given(routings=routings())
def test_the_numbering_of_experts_does_not_matter(routings: Routing) -> None:
    order = list(range(routings.num_experts))
    Random(0).shuffle(order)
    other = Routing(*(m[:, order] for m in (routings.logits, routings.probs, routings.weights)))
    for term in (*BALANCE, Capacity(1.0)):
        assert value(term, other) == pytest.approx(value(term, routings), rel=1e-4), name(term)


def test_a_term_without_any_weight_reads_balance() -> None:
    nothing = mixture(torch.zeros(4, 3), torch.full((4, 3), 1 / 3))
    for term in BALANCE:
        assert float(term(nothing, TARGET)) == pytest.approx(1.0)
