"""Balance terms: 1 at balance, E at collapse, and worked matrices between."""

from __future__ import annotations

import math

import pytest
import torch

from moe_lab.losses import (
    Capacity,
    Gini,
    Importance,
    KLUniform,
    Load,
    MinimumUsage,
    RoutingTerm,
    SwitchBalance,
    Variance,
)
from moe_lab.losses.gini import gini
from moe_lab.losses.load import smooth_load
from moe_lab.losses.switch_balance import load_share
from tests.losses.samples import TARGET, mixture, name, one_hot

BALANCE = [SwitchBalance(), Importance(), Load(), Variance(), Gini(), KLUniform()]
PROBS = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.7, 0.2, 0.1], [0.5, 0.4, 0.1]])
TOP_1 = PROBS * one_hot([0, 1, 0, 0], 3)


@pytest.mark.parametrize("num_experts", [1, 2, 4, 8])
@pytest.mark.parametrize("term", BALANCE, ids=name)
def test_balance_terms_are_one_at_balance_and_e_at_collapse(
    term: RoutingTerm, num_experts: int
) -> None:
    balanced = mixture(torch.eye(num_experts))
    collapsed = mixture(one_hot([0] * num_experts, num_experts))
    target = torch.zeros(num_experts, dtype=torch.int64)
    assert float(term(balanced, target)) == pytest.approx(1.0)
    assert float(term(collapsed, target)) == pytest.approx(num_experts, rel=1e-5)


# Of the matrix above: load 3/4, 1/4, 0; mean probs 0.5, 0.35, 0.15;
# summed weights 1.8, 0.5, 0 = shares 18/23, 5/23, 0.
WORKED = {
    "SwitchBalance": 3 * (0.75 * 0.5 + 0.25 * 0.35),  # 1.3875
    "Importance": 3 * (18**2 + 5**2) / 23**2,
    "Load": 3 * (0.75**2 + 0.25**2),  # 1.875
    "Variance": 3 * (0.25 + 0.1225 + 0.0225),  # 1 + 3 * sum (p - 1/3)^2 = 1.185
    "Gini": 1 + (-2 * 0 + 0 * 5 + 2 * 18) / 23,
    "KLUniform": 3 * math.exp(0.5 * math.log(0.5) + 0.35 * math.log(0.35) + 0.15 * math.log(0.15)),
}


@pytest.mark.parametrize("term", BALANCE, ids=name)
def test_balance_terms_of_a_worked_matrix(term: RoutingTerm) -> None:
    value = term(mixture(TOP_1, PROBS), TARGET)
    assert value.item() == pytest.approx(WORKED[type(term).__name__])


@pytest.mark.parametrize("term", [*BALANCE, Capacity(1.0), MinimumUsage(1.0)], ids=name)
def test_a_step_down_the_gradient_moves_probability_from_the_busy_expert(term: RoutingTerm) -> None:
    logits = torch.tensor([[2.0, 0.0, 0.1], [1.5, 0.2, 0.0], [0.1, 1.0, 0.0], [2.0, 0.3, 0.2]])
    logits.requires_grad_()
    probs = logits.softmax(-1)
    weights = probs * (probs == probs.max(-1, keepdim=True).values)
    term(mixture(weights, probs, logits), TARGET).backward()
    assert logits.grad is not None
    assert logits.grad[:, 0].sum() > 0


@pytest.mark.parametrize("term", [*BALANCE, Capacity(), MinimumUsage()], ids=name)
def test_gradients_are_finite_where_probabilities_are_exactly_zero(term: RoutingTerm) -> None:
    logits = torch.tensor([[400.0, 0.0, -400.0]] * 4, requires_grad=True)
    probs = logits.softmax(-1)
    assert probs.min().item() == 0.0
    value = term(mixture(probs, probs, logits), TARGET)
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("term", BALANCE, ids=name)
def test_bfloat16_routing_is_summed_in_float32(term: RoutingTerm) -> None:
    # 2000 images: a bfloat16 sum stops growing at 256.
    probs = torch.tensor([[0.75, 0.25]]).repeat(2000, 1)
    exact = term(mixture(probs), TARGET)
    half = term(mixture(probs.bfloat16()), TARGET)
    assert half.dtype == torch.float32
    assert float(half) == pytest.approx(float(exact), rel=1e-6)


@pytest.mark.parametrize("term", [SwitchBalance(), Load(), Capacity()], ids=name)
def test_terms_that_count_are_the_same_for_every_top_k_at_balance(term: RoutingTerm) -> None:
    probs = torch.full((4, 4), 0.25)
    at_balance = 0.0 if isinstance(term, Capacity) else 1.0
    for top_k in (1, 2, 3, 4):
        pattern = torch.stack([torch.arange(4).roll(i) < top_k for i in range(4)])
        assert float(term(mixture(probs * pattern, probs), TARGET)) == pytest.approx(at_balance)


def test_load_is_the_share_of_weight_and_each_image_counts_once() -> None:
    weights = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    assert load_share(weights).tolist() == pytest.approx([2.4 / 4, 1.6 / 4])
    assert load_share(torch.tensor([[0.5, 0.5], [3.0, 0.0]])).tolist() == [0.75, 0.25]
    assert load_share(torch.full((3, 4), 0.25)).tolist() == [0.25] * 4
    assert load_share(torch.zeros(3, 4)).tolist() == [0.25] * 4


def test_switch_balance_pushes_probability_from_busy_to_idle_experts() -> None:
    probs = torch.full((4, 2), 0.5, requires_grad=True)
    weights = probs.detach() * one_hot([0, 0, 0, 1], 2)
    SwitchBalance()(mixture(weights, probs, logits=probs), TARGET).backward()
    # d/dP = E * load / B = 2 * (3/4, 1/4) / 4
    torch.testing.assert_close(probs.grad, torch.tensor([[0.375, 0.125]]).repeat(4, 1))


def test_importance_of_no_weight_at_all_is_one_with_finite_gradient() -> None:
    for term in (Importance(), Gini()):
        weights = torch.zeros(4, 3, requires_grad=True)
        loss = term(mixture(weights, torch.full((4, 3), 1 / 3)), TARGET)
        loss.backward()
        assert loss.item() == pytest.approx(1.0)
        assert weights.grad is not None
        assert weights.grad.isfinite().all()


def test_load_sums_the_probabilities_of_selection_where_there_is_noise() -> None:
    selected = torch.tensor([[1.0, 0.5], [0.9, 0.2], [0.6, 0.3], [0.5, 0.0]], requires_grad=True)
    output = mixture(torch.full((4, 2), 0.5), selection_probs=selected)
    value = Load()(output, TARGET)  # load 3 and 1: mean 2, population variance 1, CV^2 = 1/4
    assert value.item() == pytest.approx(1.25)
    value.backward()
    # d/dload of 2 * (3^2 + 1) / 4^2, at (3, 1): 4 * load / 16 - 4 * 10 / 64
    torch.testing.assert_close(selected.grad, torch.tensor([[0.125, -0.375]]).repeat(4, 1))


def test_load_without_noise_is_what_was_counted_with_twice_the_gradient_of_switch_balance() -> None:
    grads = []
    for term in (Load(), SwitchBalance()):
        logits = PROBS.log().requires_grad_()
        probs = logits.softmax(-1)
        output = mixture(TOP_1, probs, logits)
        torch.testing.assert_close(smooth_load(output.routing), torch.tensor([0.75, 0.25, 0.0]))
        term(output, TARGET).backward()
        grads.append(logits.grad)
    assert grads[1] is not None
    torch.testing.assert_close(grads[0], 2 * grads[1])


def test_variance_reads_all_probabilities_and_importance_those_that_are_left() -> None:
    dense = mixture(PROBS)
    assert float(Variance()(dense, TARGET)) == pytest.approx(float(Importance()(dense, TARGET)))
    sparse = mixture(TOP_1, PROBS)
    assert float(Variance()(sparse, TARGET)) < float(Importance()(sparse, TARGET))
    logits = PROBS.log().requires_grad_()
    Variance()(mixture(TOP_1, logits.softmax(-1)), TARGET).backward()
    assert logits.grad is not None
    assert (logits.grad[:, 2] < 0).all(), "the idle expert is pulled up although nobody chose it"


def test_gini_by_hand() -> None:
    assert float(gini(torch.tensor([2.0, 2.0, 2.0]))) == pytest.approx(0.0)
    assert float(gini(torch.tensor([0.0, 5.0]))) == pytest.approx(0.5)  # (E - 1) / E
    # shares 0.1, 0.2, 0.3, 0.4: (-3 * 0.1 - 0.2 + 0.3 + 3 * 0.4) / 4
    assert float(gini(torch.tensor([3.0, 1.0, 4.0, 2.0]))) == pytest.approx(0.25)


def test_capacity_counts_only_what_is_beyond_it() -> None:
    probs = torch.full((4, 2), 0.5)
    three_to_one = mixture(probs * one_hot([0, 0, 0, 1], 2), probs)
    assert float(Capacity(1.5)(three_to_one, TARGET)) == 0.0
    # 2 * (3/4 - 1/2) * 1/2
    assert float(Capacity(1.0)(three_to_one, TARGET)) == pytest.approx(0.25)
    for capacity_factor in (1.0, 1.25, 3.0):
        collapsed = mixture(one_hot([0] * 4, 4))
        value = float(Capacity(capacity_factor)(collapsed, TARGET))
        assert value == pytest.approx(4 - capacity_factor)
    with pytest.raises(ValueError, match=r"capacity_factor must be at least 1, got 0\.5"):
        Capacity(0.5)


def test_minimum_usage_is_zero_above_its_floor() -> None:
    # mean probs 0.5, 0.35, 0.15 against floors of 1/6, 1/3 * 0.9 = 0.3 and 1/3
    for minimum, expected in ((0.45, 0.0), (0.9, 0.15), (1.0, 1 / 3 - 0.15)):
        value = MinimumUsage(minimum)(mixture(PROBS), TARGET)
        assert value.item() == pytest.approx(expected), minimum
    collapsed = mixture(one_hot([0] * 4, 4))
    assert float(MinimumUsage(0.5)(collapsed, TARGET)) == pytest.approx(0.5 * 3 / 4)
    for wrong in (0.0, 1.5):
        with pytest.raises(ValueError, match=f"at most 1, got {wrong}"):
            MinimumUsage(wrong)
