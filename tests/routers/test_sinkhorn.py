"""Sinkhorn routing: the scaling by hand, balance in training, plain top_k in evaluation."""

from __future__ import annotations

import pytest
import torch

from moe_lab.routers import SinkhornRouter, TopKRouter
from moe_lab.routers.sinkhorn import log_column_scale
from tests.routers.fixed import ScoresGate, logs


def test_the_scaled_matrix_has_rows_of_one_and_columns_of_b_over_e() -> None:
    torch.manual_seed(0)
    scores = torch.randn(12, 4)
    scaled = (scores + log_column_scale(scores, 50)).softmax(-1)
    torch.testing.assert_close(scaled.sum(0), torch.full((4,), 3.0), atol=1e-4, rtol=1e-4)


def test_two_by_two_by_hand() -> None:
    # diag(u) [[4, 1], [1, 1]] diag(v) is doubly stochastic with v_1 / v_0 = sqrt(4 * 1 / 1 / 1) = 2
    scale = log_column_scale(logs([4.0, 1.0], [1.0, 1.0]), 50)
    torch.testing.assert_close(scale[1] - scale[0], torch.tensor(2.0).log())


def test_training_balances_and_evaluation_does_not() -> None:
    # Both images prefer expert 0; 4 / 1 against 1 * 2 / 1: the second prefers it less.
    router, features = SinkhornRouter(ScoresGate(2), top_k=1), logs([4.0, 1.0], [1.5, 1.0])
    trained = router.train()(features).weights
    torch.testing.assert_close(trained, torch.tensor([[0.8, 0.0], [0.0, 0.4]]))
    tested = router.eval()(features).weights
    torch.testing.assert_close(tested, torch.tensor([[0.8, 0.0], [0.6, 0.0]]))


def test_a_skewed_gate_loads_all_experts_alike_in_training() -> None:
    torch.manual_seed(0)
    features = torch.randn(400, 4) + torch.tensor([2.0, 0.0, 0.0, -2.0])
    used = (SinkhornRouter(ScoresGate(4), top_k=1).train()(features).weights != 0).sum(0)
    assert ((used > 60) & (used < 140)).all()


def test_evaluation_is_top_k_routing_and_so_is_a_batch_of_one() -> None:
    torch.manual_seed(0)
    router, features = SinkhornRouter(ScoresGate(5)), torch.randn(9, 5)
    plain = TopKRouter(ScoresGate(5))
    torch.testing.assert_close(router.eval()(features).weights, plain(features).weights)
    one = router.train()(features[:1]).weights
    torch.testing.assert_close(one, plain(features[:1]).weights)


def test_selected_experts_without_any_probability_still_share_one() -> None:
    features = torch.tensor([[1e4, 0.0, 0.0], [1e4, 0.0, 0.0], [1e4, 1.0, 0.0]])
    weights = SinkhornRouter(ScoresGate(3), top_k=2).train()(features).weights
    torch.testing.assert_close(weights.sum(-1), torch.ones(3))


def test_no_iterations_are_refused() -> None:
    with pytest.raises(ValueError, match="iterations must be at least 1, got 0"):
        SinkhornRouter(ScoresGate(2), iterations=0)
