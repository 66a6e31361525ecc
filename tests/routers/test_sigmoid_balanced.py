"""Balancing by bias: it moves the selection and nothing else."""

from __future__ import annotations

import pytest
import torch

from moe_lab.routers import SigmoidBalancedRouter
from tests.routers.fixed import ScoresGate

# sigmoid(log(p / (1 - p))) = p
SCORES = torch.tensor([[0.8, 0.6, 0.4, 0.2]])
FEATURES = SCORES.logit()


def test_weights_are_sigmoids_over_the_sum_of_the_selected() -> None:
    routing = SigmoidBalancedRouter(ScoresGate(4)).eval()(FEATURES)
    torch.testing.assert_close(routing.weights, torch.tensor([[0.8, 0.6, 0.0, 0.0]]) / 1.4)
    torch.testing.assert_close(routing.probs, SCORES / 2)


def test_top_1_keeps_its_share_of_all_scores_so_that_the_gate_learns() -> None:
    router = SigmoidBalancedRouter(ScoresGate(4), top_k=1).eval()
    assert router.row_sum == "at most one"
    torch.testing.assert_close(router(FEATURES).weights, torch.tensor([[0.4, 0.0, 0.0, 0.0]]))


def test_the_bias_moves_the_selection_but_not_the_weights() -> None:
    router = SigmoidBalancedRouter(ScoresGate(4)).eval()
    router.bias.copy_(torch.tensor([0.0, -0.3, 0.0, 0.3]))  # 0.8, 0.3, 0.4, 0.5
    weights = router(FEATURES).weights
    torch.testing.assert_close(weights, torch.tensor([[0.8, 0.0, 0.0, 0.2]]))


def test_overused_experts_fall_and_idle_ones_rise_by_the_rate() -> None:
    router = SigmoidBalancedRouter(ScoresGate(4), bias_rate=0.01).train()
    router(FEATURES.repeat(8, 1))  # counts 8, 8, 0, 0 around a mean of 4
    assert router.bias.tolist() == [0.0] * 4, "the step is not over"
    router.end_step()
    torch.testing.assert_close(router.bias, torch.tensor([-0.01, -0.01, 0.01, 0.01]))
    router.eval()(FEATURES)
    router.end_step()
    torch.testing.assert_close(router.bias, torch.tensor([-0.01, -0.01, 0.01, 0.01]))


def test_balanced_experts_and_a_rate_of_zero_leave_the_bias_alone() -> None:
    router = SigmoidBalancedRouter(ScoresGate(2), top_k=1).train()
    router(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    router.end_step()
    assert router.bias.tolist() == [0.0, 0.0]
    router = SigmoidBalancedRouter(ScoresGate(4), bias_rate=0).train()
    router(FEATURES)
    router.end_step()
    assert router.bias.tolist() == [0.0] * 4


def test_the_bias_moves_once_for_all_batches_of_a_step() -> None:
    router = SigmoidBalancedRouter(ScoresGate(2), top_k=1, bias_rate=0.01).train()
    router(torch.tensor([[1.0, 0.0]] * 5))
    router(torch.tensor([[0.0, 1.0]] * 4))  # counts 5 and 4, although the last batch has 0 and 4
    router.end_step()
    torch.testing.assert_close(router.bias, torch.tensor([-0.01, 0.01]))
    assert "counts" not in router.state_dict()


def test_a_skewed_gate_is_balanced_after_a_while() -> None:
    torch.manual_seed(0)
    router = SigmoidBalancedRouter(ScoresGate(4), top_k=1, bias_rate=0.01).train()
    features = torch.randn(2000, 4) + torch.tensor([1.0, 0.5, 0.0, -0.5])
    before = (router(features).weights != 0).float().mean(0)
    assert before.max() > 0.45
    for _ in range(300):
        router(features)
        router.end_step()
    after = (router.eval()(features).weights != 0).float().mean(0)
    assert ((after > 0.22) & (after < 0.28)).all()


def test_the_bias_is_stored_in_float32_and_has_no_gradient() -> None:
    router = SigmoidBalancedRouter(ScoresGate(4))
    assert router.state_dict()["bias"].dtype == torch.float32
    assert not router.bias.requires_grad
    with pytest.raises(ValueError, match="bias_rate must be at least 0, got -1"):
        SigmoidBalancedRouter(ScoresGate(4), bias_rate=-1)


def test_scores_that_underflow_still_give_weights() -> None:
    weights = SigmoidBalancedRouter(ScoresGate(3)).eval()(torch.full((1, 3), -1e4)).weights
    assert sorted(weights[0].tolist()) == [0.0, 0.5, 0.5]
