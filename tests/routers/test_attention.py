"""The attentive gate: scores by hand, and what follows from looking at answers."""

from __future__ import annotations

import pytest
import torch

from moe_lab.routers import AttentionRouter

D, C = 6, 5


def test_scores_are_scaled_products_of_query_and_keys() -> None:
    router = AttentionRouter(1, 2, 3, hidden=1, width=4, temperature=0.5)
    router.hidden.weight.data.fill_(1e3)  # tanh = 1
    router.query.weight.data.fill_(1.0)
    router.key.weight.data.copy_(torch.tensor([[1.0, 0.0]] * 4))
    answers = torch.tensor([[[0.0, 9.0], [1.0, 9.0], [2.0, 9.0]]])
    routing = router(torch.ones(1, 1), answers)
    # query (1,1,1,1), keys (a,a,a,a): 4 a / sqrt(4) = 2 a, and twice that at temperature 0.5
    torch.testing.assert_close(routing.logits, torch.tensor([[0.0, 2.0, 4.0]]))
    torch.testing.assert_close(routing.weights, torch.tensor([[0.0, 4.0, 8.0]]).softmax(-1))


def test_top_1_keeps_the_probability_of_the_best_answer() -> None:
    torch.manual_seed(0)
    router = AttentionRouter(D, C, 4, top_k=1)
    assert router.row_sum == "at most one"
    routing = router(torch.randn(9, D), torch.randn(9, 4, C))
    torch.testing.assert_close(routing.weights.amax(-1), routing.probs.amax(-1))
    assert ((routing.weights != 0).sum(-1) == 1).all()


def test_permuting_the_experts_permutes_the_weights() -> None:
    torch.manual_seed(0)
    router, order = AttentionRouter(D, C, 4, top_k=2), torch.tensor([2, 0, 3, 1])
    features, answers = torch.randn(9, D), torch.randn(9, 4, C)
    expected = router(features, answers).weights[:, order]
    torch.testing.assert_close(router(features, answers[:, order]).weights, expected)


def test_experts_with_the_same_answer_share_the_weight() -> None:
    router = AttentionRouter(D, C, 4)
    weights = router(torch.randn(9, D), torch.randn(9, 1, C).expand(9, 4, C)).weights
    torch.testing.assert_close(weights, torch.full((9, 4), 0.25))


def test_the_gradient_reaches_the_answers() -> None:
    answers = torch.randn(9, 4, C, requires_grad=True)
    weights = AttentionRouter(D, C, 4)(torch.randn(9, D), answers).weights
    (weights * torch.randn(9, 4)).sum().backward()
    assert answers.grad is not None
    assert (answers.grad.abs().sum((1, 2)) > 0).all()


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        AttentionRouter(D, C, 4, width=0)
    with pytest.raises(ValueError, match=r"top_k must be in 1..num_experts = 1..4, got 5"):
        AttentionRouter(D, C, 4, top_k=5)
