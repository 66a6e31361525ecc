"""The gate that predicts log-likelihoods: which experts are selected, and how it learns."""

from __future__ import annotations

import pytest
import torch

from moe_lab.routers import LossPredictingRouter
from tests.routers.fixed import ScoresGate, logs

PREDICTED = logs([0.5, 0.3, 0.2])


def test_the_expert_with_the_best_forecast_is_used_alone() -> None:
    routing = LossPredictingRouter(ScoresGate(3))(PREDICTED)
    assert routing.weights.tolist() == [[1.0, 0.0, 0.0]]
    assert torch.equal(routing.logits, PREDICTED)


def test_several_share_by_their_predicted_likelihood() -> None:
    weights = LossPredictingRouter(ScoresGate(3), top_k=2)(PREDICTED).weights
    torch.testing.assert_close(weights, torch.tensor([[0.625, 0.375, 0.0]]))


def test_the_task_reaches_the_gate_though_the_weight_is_one() -> None:
    gate = ScoresGate(3)
    LossPredictingRouter(gate)(PREDICTED).weights.sum().backward()
    torch.testing.assert_close(gate.gradient(), torch.tensor([0.5, -0.3, -0.2]))


def test_a_regression_of_the_logits_learns_the_level_of_the_predictions_too() -> None:
    gate = ScoresGate(3)
    (LossPredictingRouter(gate)(PREDICTED).logits - 1.0).square().sum().backward()
    torch.testing.assert_close(gate.gradient(), 2 * (PREDICTED[0] - 1.0))


def test_more_experts_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match=r"top_k must be in 1..num_experts = 1..3, got 0"):
        LossPredictingRouter(ScoresGate(3), top_k=0)
