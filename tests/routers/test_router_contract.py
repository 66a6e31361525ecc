"""What every router promises. Every file in conf/router/ is tested as it is, beside variants."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from moe_lab.config.compose import assemble
from moe_lab.config.help import options
from moe_lab.networks.progress import end_step
from moe_lab.outputs import Routing
from moe_lab.routers import (
    AttentionRouter,
    ConvGate,
    CosineRouter,
    EntropyRouter,
    ExpertChoiceRouter,
    ExpertOutputRouter,
    Gate,
    GumbelRouter,
    HashRouter,
    LearnableTemperature,
    LinearGate,
    LossPredictingRouter,
    MLPGate,
    NoisyTopKRouter,
    RandomRouter,
    Router,
    ScheduledTemperature,
    SigmoidBalancedRouter,
    SinkhornRouter,
    SoftmaxRouter,
    ThresholdRouter,
    TopKRouter,
    TreeRouter,
)
from moe_lab.training.build import build as build_part

D, C = 6, 5  # features of an image, numbers in an expert's output
BRANCHING = {1: [1], 4: [2, 2], 8: [2, 4]}
AnyRouter = Router | ExpertOutputRouter
Build = Callable[[int], AnyRouter]


def gate(num_experts: int) -> Gate:
    return LinearGate(D, num_experts)


def two(num_experts: int) -> int:
    return min(2, num_experts)


@functools.cache
def composed(option: str) -> DictConfig:
    """A mixture with this router for images of D pixels and C classes."""
    settings = ("dataset=synthetic", f"dataset.size=[1,2,{D // 2}]", "dataset.source.num_classes=5")
    return assemble("standard", {"router": option}, settings)


def of_option(option: str, num_experts: int) -> AnyRouter:
    """The router of conf/router/OPTION.yaml, with the given number of experts."""
    config = composed(option).copy()
    OmegaConf.update(config, "model.num_experts", num_experts)
    if "branching" in config.router:
        OmegaConf.update(config, "router.branching", BRANCHING[num_experts])
    elif isinstance(config.router.get("top_k"), int):
        config.router.top_k = min(config.router.top_k, num_experts)
    router: AnyRouter = build_part(config.router)
    return router


VARIANTS: dict[str, Build] = {
    "softmax_mlp_gate": lambda e: SoftmaxRouter(MLPGate(D, 8, e)),
    "softmax_conv_gate": lambda e: SoftmaxRouter(ConvGate([1, 2, 3], D, e, init_std=0.2)),
    "softmax_learnable": lambda e: SoftmaxRouter(gate(e), LearnableTemperature(0.5)),
    "softmax_scheduled": lambda e: SoftmaxRouter(gate(e), ScheduledTemperature("cosine")),
    "top_1": lambda e: TopKRouter(gate(e), top_k=1),
    "noisy_top_1": lambda e: NoisyTopKRouter(gate(e), D, top_k=1),
    "expert_choice_small": lambda e: ExpertChoiceRouter(gate(e), capacity_factor=0.01),
    "tree_top_1": lambda e: TreeRouter(D, BRANCHING[e], top_k=1),
    "tree_top_1_then_2": lambda e: TreeRouter(D, BRANCHING[e], [1, 2][: len(BRANCHING[e])]),
    "attention_top_1": lambda e: AttentionRouter(MLPGate(D, 8, 4), 4, C, e, top_k=1),
    "cosine_top_1": lambda e: CosineRouter(D, e, top_k=1),
    "sigmoid_balanced_top_1": lambda e: SigmoidBalancedRouter(gate(e), top_k=1),
    "sinkhorn_top_1": lambda e: SinkhornRouter(gate(e), top_k=1),
    "gumbel_top_2": lambda e: GumbelRouter(gate(e), two(e)),
    "threshold_first_only": lambda e: ThresholdRouter(gate(e), 1.0),
    "entropy_top_1": lambda e: EntropyRouter(e, "top_1"),
    "loss_predicting_top_2": lambda e: LossPredictingRouter(gate(e), two(e)),
    "hash_top_2": lambda e: HashRouter(D, e, two(e)),
    "random_top_2": lambda e: RandomRouter(D, e, two(e)),
}
ROUTERS = {option: functools.partial(of_option, option) for option in options("router")} | VARIANTS


@pytest.fixture(params=ROUTERS)
def build(request: pytest.FixtureRequest) -> Build:
    torch.manual_seed(0)
    return ROUTERS[request.param]


def ask(router: AnyRouter, features: Tensor, answers: Tensor) -> Routing:
    """The routing of a router of either kind."""
    inputs = (features, answers) if isinstance(router, ExpertOutputRouter) else (features,)
    routing: Routing = router(*inputs)
    return routing


def batch(num_images: int, num_experts: int) -> tuple[Tensor, Tensor]:
    return torch.randn(num_images, D), torch.randn(num_images, num_experts, C)


@pytest.mark.parametrize(
    ("num_images", "num_experts", "training"), [(1, 4, True), (9, 1, True), (9, 4, False)]
)
def test_rows_sum_to_what_is_promised(
    build: Build, num_images: int, num_experts: int, training: bool
) -> None:
    router = build(num_experts).train(training)
    routing = ask(router, *batch(num_images, num_experts))
    assert router.num_experts == routing.num_experts == num_experts
    shape = (num_images, num_experts)
    assert routing.logits.shape == routing.probs.shape == routing.weights.shape == shape
    ones = torch.ones(num_images)
    torch.testing.assert_close(routing.probs.sum(-1), ones)
    assert (routing.probs >= 0).all()
    assert (routing.weights >= 0).all()
    assert router.row_sum in ("one", "at most one", "free")
    if router.row_sum == "one":
        torch.testing.assert_close(routing.weights.sum(-1), ones)
    elif router.row_sum == "at most one":
        assert (routing.weights.sum(-1) <= 1 + 1e-6).all()


def test_every_image_has_an_expert_in_evaluation(build: Build) -> None:
    weights = ask(build(4).eval(), *batch(200, 4)).weights
    assert (weights.sum(-1) > 0).all()


def test_one_expert_gets_all_the_weight(build: Build) -> None:
    router = build(1).eval()
    if router.row_sum == "free":
        pytest.skip("promises no sum")
    torch.testing.assert_close(ask(router, *batch(5, 1)).weights, torch.ones(5, 1))


def test_gradient_reaches_every_parameter(build: Build) -> None:
    for training in (True, False):
        router = build(4).train(training)
        routing = ask(router, *batch(64, 4))
        loss = (routing.weights * torch.randn(64, 4)).sum()
        if not any(parameter.requires_grad for parameter in router.parameters()):
            assert not loss.requires_grad
            return
        loss.backward()
        for name, parameter in router.named_parameters():
            if name == "noise.weight" and not training:
                continue
            assert parameter.grad is not None, (training, name)
            assert parameter.grad.abs().sum() > 1e-4, (training, name)


@pytest.mark.parametrize(
    ("training", "num_images", "num_experts", "size"),
    [(True, 33, 8, 0.0), (True, 33, 8, 1e4), (True, 33, 1, 1e4), (False, 1, 8, 1e4)],
)
def test_values_and_gradients_are_finite(
    build: Build, training: bool, num_images: int, num_experts: int, size: float
) -> None:
    router = build(num_experts).train(training)
    features, answers = (part * size for part in batch(num_images, num_experts))
    features.requires_grad_()
    answers.requires_grad_()
    for parameter in router.parameters():
        parameter.data *= 50 if size and parameter.ndim > 1 else 1  # logits of about 1e4 and more
    routing = ask(router, features, answers)
    parts = [routing.logits, routing.probs, routing.weights, routing.selection_probs]
    present = [part for part in parts if part is not None]
    assert all(part.isfinite().all() for part in present)
    loss = sum((part * torch.randn_like(part)).sum() for part in present)
    assert isinstance(loss, Tensor)
    if loss.requires_grad:
        loss.backward()
    for leaf in (features, answers, *router.parameters()):
        assert leaf.grad is None or leaf.grad.isfinite().all()


def test_permuting_the_gate_permutes_the_weights(build: Build) -> None:
    router, order = build(4).eval(), torch.tensor([2, 0, 3, 1])
    own_gate = getattr(router, "gate", None)
    if not isinstance(own_gate, Gate):
        pytest.skip("has no gate")
    inputs = batch(16, 4)
    before = ask(router, *inputs).weights
    last = [layer for layer in own_gate.modules() if isinstance(layer, torch.nn.Linear)][-1]
    for parameter in last.parameters():
        parameter.data = parameter.data[order]
    torch.testing.assert_close(ask(router, *inputs).weights, before[:, order])


def test_evaluation_draws_no_noise_and_ignores_batch_mates(build: Build) -> None:
    router = build(4)
    ask(router.train(), *batch(16, 4))
    end_step(router)  # running statistics have moved
    router.eval()
    features, answers = batch(16, 4)
    whole = ask(router, features, answers).weights
    assert torch.equal(whole, ask(router, features, answers).weights)
    alone = [
        ask(router, row[None], own[None]).weights
        for row, own in zip(features, answers, strict=True)
    ]
    torch.testing.assert_close(torch.cat(alone), whole, atol=1e-6, rtol=1e-5)


def test_evaluation_moves_no_state_and_state_survives_a_save(build: Build) -> None:
    router = build(4)
    for _ in range(3):
        ask(router.train(), *batch(16, 4))
        end_step(router)
    before = {name: value.clone() for name, value in router.state_dict().items()}
    inputs = batch(16, 4)
    weights = ask(router.eval(), *inputs).weights
    after = router.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(value.dtype in (torch.float32, torch.int64) for value in after.values())
    copy = build(4).eval()
    copy.load_state_dict(before)
    assert torch.equal(ask(copy, *inputs).weights, weights)


def test_routing_is_float32_whatever_runs_around_it(build: Build) -> None:
    router = build(4).eval()
    for dtype in (torch.float32, torch.bfloat16):
        features, answers = (part.to(dtype) for part in batch(16, 4))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = ask(router, features, answers)
        outside = ask(router, features.float(), answers.float())
        assert inside.logits.dtype == inside.weights.dtype == torch.float32
        # Equal to the last bit: nothing on the way was rounded to bfloat16.
        assert torch.equal(inside.logits, outside.logits), dtype


def test_fresh_gates_spread_images_over_all_experts(build: Build) -> None:
    weights = ask(build(8).eval(), *batch(512, 8)).weights
    first = (weights == weights.amax(-1, keepdim=True)).sum(0)  # experts that tie count alike
    assert (first > 0).all()
    assert first.max() <= first.sum() / 2
