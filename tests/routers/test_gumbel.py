"""Stochastic switching: how often whom, and the gradient of a draw."""

from __future__ import annotations

import pytest
import torch

from moe_lab.routers import GumbelRouter
from moe_lab.routers.gumbel import probability_of_draw
from tests.routers.fixed import ScoresGate, logs

ODDS = [0.5, 0.3, 0.2]


def test_training_draws_one_expert_as_often_as_its_probability() -> None:
    torch.manual_seed(0)
    weights = GumbelRouter(ScoresGate(3)).train()(logs(ODDS).repeat(100_000, 1)).weights
    assert ((weights == 0) | (weights == 1)).all()
    torch.testing.assert_close(weights.mean(0), torch.tensor(ODDS), atol=0.006, rtol=0)


def test_two_are_drawn_without_replacement() -> None:
    torch.manual_seed(0)
    weights = GumbelRouter(ScoresGate(3), top_k=2).train()(logs(ODDS).repeat(100_000, 1)).weights
    assert ((weights == 0) | (weights == 0.5)).all()
    assert ((weights != 0).sum(-1) == 2).all()
    # P(in) = p + sum over others q of q * p / (1 - q)
    first = 0.5 + 0.3 * 0.5 / 0.7 + 0.2 * 0.5 / 0.8
    second = 0.3 + 0.5 * 0.3 / 0.5 + 0.2 * 0.3 / 0.8
    expected = torch.tensor([first, second, 2 - first - second])
    torch.testing.assert_close((weights != 0).float().mean(0), expected, atol=0.006, rtol=0)


def test_evaluation_takes_the_likeliest() -> None:
    routing = GumbelRouter(ScoresGate(3), top_k=2).eval()(logs(ODDS))
    assert routing.weights.tolist() == [[0.5, 0.5, 0.0]]
    assert routing.selection_probs is None
    torch.testing.assert_close(routing.probs, torch.tensor([ODDS]))


def test_the_gradient_is_that_of_the_softmax_over_the_temperature() -> None:
    gate = ScoresGate(3)
    weights = GumbelRouter(gate, temperature=0.5).eval()(logs(ODDS)).weights
    weights[0, 0].backward()
    soft = torch.tensor([25.0, 9.0, 4.0]) / 38  # squares of the odds
    expected = soft[0] * (torch.tensor([1.0, 0.0, 0.0]) - soft) / 0.5
    torch.testing.assert_close(gate.gradient(), expected)


def test_probability_of_a_draw_matches_redrawing_one_noise() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 4)
    scores = logits - torch.empty(1, 4).exponential_().log()
    for top_k in (1, 2, 3):
        found = probability_of_draw(logits, scores, top_k)
        for expert in range(4):
            redrawn = scores.repeat(100_000, 1)
            redrawn[:, expert] = logits[0, expert] - torch.empty(100_000).exponential_().log()
            share = (redrawn.topk(top_k).indices == expert).any(-1).float().mean()
            assert float(found[0, expert]) == pytest.approx(float(share), abs=0.006)
    assert probability_of_draw(logits, scores, 4).tolist() == [[1.0] * 4]


def test_more_experts_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match=r"top_k must be in 1..num_experts = 1..3, got 4"):
        GumbelRouter(ScoresGate(3), top_k=4)
