"""Cosine routing: angles by hand, and nothing but angles."""

from __future__ import annotations

import pytest
import torch

from moe_lab.routers import CosineRouter


def square_router(top_k: int = 2) -> CosineRouter:
    """Two dimensions, experts at 0, 60 and 90 degrees, temperature 0.5."""
    router = CosineRouter(2, 3, width=2, top_k=top_k)
    router.project.weight.data.copy_(torch.eye(2))
    degrees = torch.tensor([0.0, 60.0, 90.0]).deg2rad()
    router.embedding.weight.data.copy_(torch.stack([degrees.cos(), degrees.sin()], 1))
    return router


def test_logits_are_cosines_over_the_temperature() -> None:
    routing = square_router()(torch.tensor([[7.0, 0.0]]))
    torch.testing.assert_close(routing.logits, torch.tensor([[2.0, 1.0, 0.0]]))
    expected = torch.tensor([2.0, 1.0]).softmax(-1)
    torch.testing.assert_close(routing.weights[0, :2], expected)
    assert routing.weights[0, 2] == 0


def test_lengths_of_features_and_embeddings_do_not_matter() -> None:
    torch.manual_seed(0)
    router, features = CosineRouter(6, 4), torch.randn(9, 6)
    before = router(features).weights
    router.embedding.weight.data *= torch.tensor([[0.1], [1.0], [10.0], [3.0]])
    torch.testing.assert_close(router(100 * features).weights, before)


def test_a_blank_image_ties_and_has_a_small_gradient() -> None:
    router = CosineRouter(6, 4)
    routing = router(torch.zeros(1, 6, requires_grad=True))
    assert routing.logits.tolist() == [[0.0] * 4]
    (routing.weights * torch.arange(4.0)).sum().backward()
    assert router.project.weight.grad is not None
    assert router.project.weight.grad.abs().max() < 1e-3


def test_the_temperature_is_learned_and_starts_where_it_is_told() -> None:
    router = CosineRouter(6, 4, init_temperature=0.07)
    assert router.temperature().item() == pytest.approx(0.07)
    router(torch.randn(9, 6)).weights.square().sum().backward()
    grad = router.temperature.log_excess.grad
    assert grad is not None
    assert grad.abs() > 1e-4


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        CosineRouter(6, 4, width=0)
    with pytest.raises(ValueError, match=r"temperature must be above 0.01, got 0"):
        CosineRouter(6, 4, init_temperature=0)
