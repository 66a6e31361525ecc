"""Controls: nothing is learned, and chance stays where it belongs."""

from __future__ import annotations

import pytest
import torch

from moe_lab.routers import HashRouter, RandomRouter, Router, UniformRouter

D = 6


@pytest.mark.parametrize("router", [HashRouter(D, 4), RandomRouter(D, 4), UniformRouter(4)])
def test_a_control_has_no_parameters(router: Router) -> None:
    assert list(router.parameters()) == []


def test_hash_takes_the_largest_projections_in_equal_shares() -> None:
    router = HashRouter(2, 3, top_k=2)
    router.projection.copy_(torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.5]]))
    routing = router(torch.tensor([[2.0, 1.0], [-1.0, 0.0]]))
    assert routing.logits.tolist() == [[2.0, 1.0, -1.5], [-1.0, 0.0, 1.0]]
    assert routing.weights.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]


def test_hash_is_the_same_in_training_and_differs_between_seeds() -> None:
    features = torch.randn(50, D)
    seen = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        router = HashRouter(D, 4)
        seen.append(router.train()(features).weights)
        assert torch.equal(router.eval()(features).weights, seen[-1])
    assert not torch.equal(*seen)


@pytest.mark.parametrize("router", [HashRouter(784, 8), RandomRouter(784, 8)])
def test_every_expert_has_a_direction_of_length_one(router: HashRouter | RandomRouter) -> None:
    torch.testing.assert_close(router.projection.norm(dim=0), torch.ones(8))


@pytest.mark.parametrize("top_k", [1, 3])
def test_random_uses_every_expert_alike_in_training(top_k: int) -> None:
    torch.manual_seed(0)
    routing = RandomRouter(D, 4, top_k).train()(torch.ones(40_000, D))
    assert ((routing.weights != 0).sum(-1) == top_k).all()
    share = (routing.weights != 0).float().mean(0)
    torch.testing.assert_close(share, torch.full((4,), top_k / 4), atol=0.01, rtol=0)
    assert routing.selection_probs is not None
    assert (routing.selection_probs == top_k / 4).all()


def test_random_evaluates_like_hash() -> None:
    router, twin = RandomRouter(D, 4).eval(), HashRouter(D, 4)
    twin.load_state_dict(router.state_dict())
    features = torch.randn(50, D)
    assert torch.equal(router(features).weights, twin(features).weights)


def test_uniform_gives_every_expert_the_same() -> None:
    routing = UniformRouter(5)(torch.randn(3, D))
    torch.testing.assert_close(routing.weights, torch.full((3, 5), 0.2))


def test_impossible_numbers_of_experts_are_refused() -> None:
    for router in (HashRouter, RandomRouter):
        with pytest.raises(ValueError, match=r"top_k must be in 1..num_experts = 1..4, got 5"):
            router(D, 4, top_k=5)
    with pytest.raises(ValueError, match="num_experts must be at least 1, got 0"):
        UniformRouter(0)
