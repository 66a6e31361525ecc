"""The plan lists the right pairs, and its sums are exact and repeatable."""

from __future__ import annotations

import pytest
import torch

from moe_lab.dispatch import Plan
from tests.experts.reference import routing

# Image 0 uses experts 0 and 2, image 1 none, image 2 expert 0.
WEIGHTS = torch.tensor([[0.25, 0.0, 0.75], [0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])


def test_pairs_are_the_nonzero_weights_sorted_by_expert() -> None:
    plan = Plan.from_weights(WEIGHTS)
    assert plan.expert.tolist() == [0, 0, 2]
    assert plan.row.tolist() == [0, 2, 0]
    assert plan.weight.tolist() == [0.25, 0.5, 0.75]
    assert plan.counts == (2, 0, 1)
    assert (plan.num_rows, plan.num_experts, plan.is_dense) == (3, 3, False)


def test_combine_and_mix_are_exact_on_a_worked_example() -> None:
    plan = Plan.from_weights(WEIGHTS)
    values = torch.tensor([[4.0, 8.0], [2.0, 6.0], [1.0, 3.0]])
    assert plan.combine(values).tolist() == [[5.0, 11.0], [0.0, 0.0], [2.0, 6.0]]
    assert plan.mix(values).tolist() == [[1.75, 4.25], [0.0, 0.0], [1.0, 3.0]]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_gather_and_combine_equal_indexing_and_index_add(k: int) -> None:
    weights = routing(17, 5, k)
    weights[3] = 0.0
    plan = Plan.from_weights(weights)
    features, values = torch.randn(17, 2, 3), torch.randn(len(plan.row), 2, 3)
    assert torch.equal(plan.gather(features), features[plan.row])
    expected = torch.zeros(17, 2, 3).index_add_(0, plan.row, values)
    torch.testing.assert_close(plan.combine(values), expected)


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("k", [0, 2, 4])
def test_gradients_of_gather_mix_and_weight_are_right(rows: int, k: int) -> None:
    weights = routing(rows, 4, k, torch.float64) if k else torch.zeros(rows, 4).double()
    weights.requires_grad_()
    features = torch.randn(rows, 3, dtype=torch.float64, requires_grad=True)

    def layer(features: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        # Scaled, so that the finite differences leave zero weights at zero.
        plan = Plan.from_weights(weights.detach() * change)
        return plan.mix(plan.gather(features) ** 2) + plan.combine(plan.gather(features))

    change = torch.ones(rows, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (features, change))


def test_mix_equals_weighting_before_combine() -> None:
    weights = routing(16, 4, 2).requires_grad_()
    values = torch.randn(32, 5, requires_grad=True)
    plan = Plan.from_weights(weights)
    grad = torch.randn(16, 5)
    mixed, combined = plan.mix(values), plan.combine(values * plan.weight.unsqueeze(1))
    torch.testing.assert_close(mixed, combined)
    got = torch.autograd.grad(mixed, (values, weights), grad, retain_graph=True)
    expected = torch.autograd.grad(combined, (values, weights), grad)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_combine_is_deterministic_in_every_dtype(dtype: torch.dtype) -> None:
    plan = Plan.from_weights(routing(64, 8, 3))
    values = torch.randn(192, 7).to(dtype)
    first = plan.combine(values)
    assert first.dtype == dtype
    assert all(torch.equal(first, plan.combine(values)) for _ in range(20))
    exact = torch.zeros(64, 7, dtype=torch.float64).index_add_(0, plan.row, values.double())
    tolerance = {torch.bfloat16: 2**-6, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(first.double(), exact, rtol=tolerance, atol=tolerance)


def test_permuting_experts_permutes_nothing_in_the_sum() -> None:
    weights, order = routing(20, 6, 2), torch.randperm(6)
    per_expert = torch.randn(20, 6, 3)  # [B, E, C]

    def answer(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        plan = Plan.from_weights(weights)
        return plan.mix(values[plan.row, plan.expert])

    permuted = answer(weights[:, order], per_expert[:, order])
    torch.testing.assert_close(permuted, answer(weights, per_expert))


def test_every_has_all_pairs_with_weight_one() -> None:
    plan = Plan.every(3, 2)
    assert plan.is_dense
    assert plan.counts == (3, 3)
    assert plan.expert.tolist() == [0, 0, 0, 1, 1, 1]
    assert plan.row.tolist() == [0, 1, 2, 0, 1, 2]
    assert plan.weight.tolist() == [1.0] * 6
    features = torch.randn(3, 4)
    assert torch.equal(plan.gather(features), features.repeat(2, 1))
    assert torch.equal(plan.combine(plan.gather(features)), 2 * features)
    values = torch.arange(6.0).unsqueeze(1)
    assert plan.dense(values).squeeze(2).tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]


def test_all_nonzero_weights_make_a_dense_plan_in_expert_order() -> None:
    plan = Plan.from_weights(torch.tensor([[0.25, 0.75], [0.5, 0.125]]))
    assert plan.is_dense
    assert plan.weight.tolist() == [0.25, 0.5, 0.75, 0.125]


@pytest.mark.parametrize("kept", [1, 2, 3, 4])
def test_the_first_experts_have_the_plan_of_their_own_weights(kept: int) -> None:
    torch.manual_seed(0)
    weights = torch.rand(7, 4) * (torch.rand(7, 4) > 0.5)
    weights[0] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    for whole in (weights, torch.rand(7, 4) + 1):
        first, alone = Plan.from_weights(whole).first(kept), Plan.from_weights(whole[:, :kept])
        assert first.counts == alone.counts
        for name in ("expert", "row", "weight"):
            assert torch.equal(getattr(first, name), getattr(alone, name)), name
        features = torch.randn(7, 3)
        rows = first.gather(features)
        assert torch.equal(rows, alone.gather(features))
        torch.testing.assert_close(first.mix(rows), alone.mix(rows))
