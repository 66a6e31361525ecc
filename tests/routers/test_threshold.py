"""Threshold routing: how many experts an image gets."""

from __future__ import annotations

import pytest
import torch

from moe_lab.routers import SoftmaxRouter, ThresholdRouter
from tests.routers.fixed import ScoresGate, logs

FEATURES = logs([0.9, 0.06, 0.04], [0.5, 0.3, 0.2])


def test_experts_within_reach_of_the_first_share_the_weight() -> None:
    weights = ThresholdRouter(ScoresGate(3), threshold=0.5)(FEATURES).weights
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.0, 0.0], [0.625, 0.375, 0.0]]))
    assert (weights == 0).sum() == 3


def test_a_threshold_of_zero_is_softmax_routing() -> None:
    weights = ThresholdRouter(ScoresGate(3), threshold=0)(FEATURES).weights
    torch.testing.assert_close(weights, SoftmaxRouter(ScoresGate(3))(FEATURES).weights)


def test_a_threshold_of_one_keeps_the_first_and_its_ties() -> None:
    weights = ThresholdRouter(ScoresGate(3), threshold=1)(torch.tensor([[1.0, 1.0, 0.0]])).weights
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.5, 0.0]]))


def test_one_expert_alone_still_trains_the_gate() -> None:
    gate = ScoresGate(3)
    weights = ThresholdRouter(gate, threshold=1)(FEATURES[1:]).weights
    assert weights.tolist() == [[1.0, 0.0, 0.0]]
    weights.sum().backward()
    # the gradient of p_0, 0.25, -0.15, -0.10, over the constant 0.5
    torch.testing.assert_close(gate.gradient(), torch.tensor([0.5, -0.3, -0.2]))


def test_a_lower_temperature_uses_fewer_experts() -> None:
    # squares of 0.5, 0.3 are 0.25, 0.09: no longer half
    weights = ThresholdRouter(ScoresGate(3), 0.5, temperature=0.5)(FEATURES[1:]).weights
    assert weights.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_thresholds_outside_zero_to_one_are_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"threshold must be in 0..1, got"):
        ThresholdRouter(ScoresGate(3), threshold)
