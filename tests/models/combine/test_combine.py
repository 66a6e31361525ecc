"""Combine rules: proper log-probabilities, by hand and in the degenerate cases."""

from __future__ import annotations

import math

import pytest
import torch

from moe_lab.dispatch import Plan
from moe_lab.models.combine import Combine, CombineConcat, CombineLogits, CombineProbabilities

RULES = [CombineLogits(), CombineProbabilities()]


def every_rule(num_experts: int, num_classes: int) -> list[Combine]:
    return [*RULES, CombineConcat(num_experts, num_classes)]


@pytest.mark.parametrize("rule", every_rule(4, 5))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_are_proper_log_probabilities(rule: Combine, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weights = torch.rand(6, 4) * (torch.rand(6, 4) > 0.5)
    weights[0] = 0  # an image without any expert
    plan = Plan.from_weights(weights)
    log_probs = rule(torch.randn(len(plan.row), 5).to(dtype), plan)
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(6))
    torch.testing.assert_close(log_probs[0].exp(), torch.full((5,), 0.2))


@pytest.mark.parametrize("rule", every_rule(4, 5))
def test_identical_experts_with_weights_summing_to_one_are_one_expert(rule: Combine) -> None:
    torch.manual_seed(0)
    weights, logits = torch.rand(6, 4).softmax(-1), torch.randn(6, 5)
    plan = Plan.from_weights(weights)
    torch.testing.assert_close(rule(logits[plan.row], plan), logits.log_softmax(-1))


def test_probabilities_are_averaged_and_logits_are_multiplied() -> None:
    answers = torch.tensor([[0.9, 0.1], [0.5, 0.5]]).log()  # two experts, one image
    plan = Plan.from_weights(torch.tensor([[0.25, 0.75]]))
    averaged = CombineProbabilities()(answers, plan).exp()
    torch.testing.assert_close(averaged, torch.tensor([[0.6, 0.4]]))
    # geometric: 0.9^0.25 * 0.5^0.75 against 0.1^0.25 * 0.5^0.75 = 3^0.5 : 1
    ratio = math.sqrt(3)
    multiplied = CombineLogits()(answers, plan).exp()
    torch.testing.assert_close(multiplied, torch.tensor([[ratio, 1.0]]) / (ratio + 1))


def test_weight_that_no_expert_claims_is_uniform() -> None:
    answers = torch.tensor([[0.9, 0.1]]).log()
    plan = Plan.from_weights(torch.tensor([[0.5, 0.0]]))
    half = CombineProbabilities()(answers, plan).exp()
    torch.testing.assert_close(half, torch.tensor([[0.7, 0.3]]))  # 0.5 * 0.9 + 0.5 / 2


def test_weights_above_one_are_scaled_down() -> None:
    answers = torch.tensor([[0.9, 0.1], [0.5, 0.5]]).log()
    plan = Plan.from_weights(torch.tensor([[1.0, 3.0]]))
    probs = CombineProbabilities()(answers, plan).exp()
    torch.testing.assert_close(probs, torch.tensor([[0.6, 0.4]]))  # (0.9 + 3 * 0.5) / 4


@pytest.mark.parametrize("rule", every_rule(2, 2))
def test_top_1_weight_gets_a_gradient(rule: Combine) -> None:
    weights = torch.tensor([[0.6, 0.0], [0.0, 0.7]], requires_grad=True)
    plan = Plan.from_weights(weights)
    answers = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    rule(answers, plan)[:, 0].sum().backward()
    assert weights.grad is not None
    assert weights.grad[0, 0] > 0.1
    assert weights.grad[1, 1] < -0.1


@pytest.mark.parametrize("rule", every_rule(2, 2))
def test_extreme_logits_stay_finite_with_finite_gradients(rule: Combine) -> None:
    answers = torch.tensor([[1e4, -1e4], [-1e4, -1e4]], requires_grad=True)
    plan = Plan.from_weights(torch.eye(2))
    log_probs = rule(answers, plan)
    log_probs.sum().backward()
    assert log_probs.isfinite().all()
    assert answers.grad is not None
    assert answers.grad.isfinite().all()


def test_expert_log_probs_come_by_image_and_expert() -> None:
    plan = Plan.every(2, 3)
    answers = torch.arange(12.0).view(6, 2)  # expert-major: expert 0 on images 0, 1, then expert 1
    found = CombineLogits().expert_log_probs(answers, plan)
    assert found.shape == (2, 3, 2)
    torch.testing.assert_close(found[1, 2], torch.tensor([10.0, 11.0]).log_softmax(-1))
