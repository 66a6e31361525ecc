"""What every router promises; a new router is one more line in ROUTERS."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from moe_lab.routers import (
    LinearGate,
    MLPGate,
    NoisyTopKRouter,
    Router,
    SoftmaxRouter,
    TopKRouter,
)

D = 6
Build = Callable[[int], Router]
ROUTERS: dict[str, Build] = {
    "softmax": lambda num_experts: SoftmaxRouter(LinearGate(D, num_experts)),
    "softmax_mlp_gate": lambda num_experts: SoftmaxRouter(MLPGate(D, 8, num_experts)),
    "top_1": lambda num_experts: TopKRouter(LinearGate(D, num_experts), top_k=1),
    "top_2": lambda num_experts: TopKRouter(LinearGate(D, num_experts), min(2, num_experts)),
    "noisy_top_1": lambda num_experts: NoisyTopKRouter(LinearGate(D, num_experts), D, top_k=1),
    "noisy_top_2": lambda num_experts: NoisyTopKRouter(
        LinearGate(D, num_experts), D, min(2, num_experts)
    ),
}


@pytest.fixture(params=ROUTERS)
def build(request: pytest.FixtureRequest) -> Build:
    torch.manual_seed(0)
    return ROUTERS[request.param]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("num_images", [1, 9])
def test_probs_sum_to_one_and_weights_are_not_negative(
    build: Build, training: bool, num_images: int
) -> None:
    routing = build(4).train(training)(torch.randn(num_images, D))
    assert routing.probs.shape == routing.weights.shape == (num_images, 4)
    torch.testing.assert_close(routing.probs.sum(-1), torch.ones(num_images))
    assert (routing.weights >= 0).all()
    assert (routing.weights.sum(-1) <= 1 + 1e-6).all()


def test_one_expert_gets_all_the_weight(build: Build) -> None:
    routing = build(1).eval()(torch.randn(5, D))
    torch.testing.assert_close(routing.weights, torch.ones(5, 1))


def test_gradient_reaches_every_parameter_of_the_gate(build: Build) -> None:
    router = build(4).train()
    routing = router(torch.randn(64, D))
    (routing.weights * torch.randn(64, 4)).sum().backward()
    for name, parameter in router.gate.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 1e-4, name


def test_permuting_the_gate_permutes_the_weights(build: Build) -> None:
    router, order = build(4).eval(), torch.tensor([2, 0, 3, 1])
    features = torch.randn(16, D)
    before = router(features).weights
    last = list(router.gate.children())[-1]
    last.weight.data = last.weight.data[order]
    torch.testing.assert_close(router(features).weights, before[:, order])


def test_evaluation_draws_no_noise_and_ignores_batch_mates(build: Build) -> None:
    router = build(4).eval()
    features = torch.randn(16, D)
    whole = router(features).weights
    assert torch.equal(whole, router(features).weights)
    alone = torch.cat([router(row[None]).weights for row in features])
    torch.testing.assert_close(alone, whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_routing_is_float32_whatever_runs_around_it(build: Build, dtype: torch.dtype) -> None:
    router = build(4).eval()
    features = torch.randn(16, D).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = router(features)
    outside = router(features.float())
    assert inside.logits.dtype == inside.weights.dtype == torch.float32
    # Equal to the last bit: nothing on the way was rounded to bfloat16.
    assert torch.equal(inside.logits, outside.logits)


def test_fresh_gates_spread_images_over_all_experts(build: Build) -> None:
    routing = build(8).eval()(torch.randn(512, D))
    first = routing.weights.argmax(-1).bincount(minlength=8)
    assert (first > 0).all()
    assert first.max() < 256
