"""The attentive gate: scores by hand, and what follows from reading expert outputs."""

from __future__ import annotations

import pytest
import torch

from moe_lab.routers import AttentionRouter, ConvGate, MLPGate

D, C = 6, 5


def attentive(num_experts: int, width: int = 32, **settings: object) -> AttentionRouter:
    return AttentionRouter(MLPGate(D, 8, width), width, C, num_experts, **settings)  # type: ignore[arg-type]


def test_scores_are_scaled_products_of_query_and_keys() -> None:
    query = MLPGate(1, 1, 4)
    query.hidden.weight.data.fill_(1e3)  # tanh = 1
    query.scores.weight.data.fill_(1.0)
    router = AttentionRouter(query, 4, 2, 3, temperature=0.5)
    router.key.weight.data.copy_(torch.tensor([[1.0, 0.0]] * 4))
    answers = torch.tensor([[[0.0, 9.0], [1.0, 9.0], [2.0, 9.0]]])
    routing = router(torch.ones(1, 1), answers)
    # query (1,1,1,1), keys (a,a,a,a): 4 a / sqrt(4) = 2 a, and twice that at temperature 0.5
    torch.testing.assert_close(routing.logits, torch.tensor([[0.0, 2.0, 4.0]]))
    torch.testing.assert_close(routing.weights, torch.tensor([[0.0, 4.0, 8.0]]).softmax(-1))


def test_top_1_keeps_the_probability_of_the_best_match() -> None:
    torch.manual_seed(0)
    router = attentive(4, top_k=1)
    assert router.row_sum == "at most one"
    routing = router(torch.randn(9, D), torch.randn(9, 4, C))
    torch.testing.assert_close(routing.weights.amax(-1), routing.probs.amax(-1))
    assert ((routing.weights != 0).sum(-1) == 1).all()


def test_permuting_the_experts_permutes_the_weights() -> None:
    torch.manual_seed(0)
    router, order = attentive(4, top_k=2), torch.tensor([2, 0, 3, 1])
    features, answers = torch.randn(9, D), torch.randn(9, 4, C)
    expected = router(features, answers).weights[:, order]
    torch.testing.assert_close(router(features, answers[:, order]).weights, expected)


def test_experts_with_equal_outputs_share_the_weight() -> None:
    router = attentive(4)
    weights = router(torch.randn(9, D), torch.randn(9, 1, C).expand(9, 4, C)).weights
    torch.testing.assert_close(weights, torch.full((9, 4), 0.25))


def test_the_gradient_reaches_the_expert_outputs() -> None:
    answers = torch.randn(9, 4, C, requires_grad=True)
    weights = attentive(4)(torch.randn(9, D), answers).weights
    (weights * torch.randn(9, 4)).sum().backward()
    assert answers.grad is not None
    assert (answers.grad.abs().sum((1, 2)) > 0).all()


def test_a_query_of_the_published_trunk_has_the_published_parameters() -> None:
    # Seed 003, ten experts: the trunk 1x28x28 -> 169 -> 128 -> 32 and a query of 32 numbers.
    trunk = ConvGate([1, 28, 28], 784, 32, channels=1, hidden=[128, 32], padding=0)
    router = AttentionRouter(trunk, 32, 10, 10)
    convolution, dense = 9 + 1, (169 * 128 + 128) + (128 * 32 + 32)
    query, key = 32 * 32 + 32, 32 * 10
    count = sum(parameter.numel() for parameter in router.parameters())
    assert count == convolution + dense + query + key == 27_274
    answers = torch.randn(5, 10, 10)
    assert router(torch.randn(5, 784), answers).weights.shape == (5, 10)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"query gives 4 numbers, but router.width is 8"):
        AttentionRouter(MLPGate(D, 8, 4), 8, C, 4)
    with pytest.raises(ValueError, match=r"router.num_experts must be at least 1, got 0"):
        attentive(0)
    with pytest.raises(ValueError, match=r"top_k must be in 1..num_experts = 1..4, got 5"):
        attentive(4, top_k=5)
