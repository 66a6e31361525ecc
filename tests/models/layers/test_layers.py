"""Mixtures inside a network against numbers worked out by hand, and against plain loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from moe_lab.dispatch import Plan
from moe_lab.experts import MLPExperts
from moe_lab.models.layers import (
    ConvExperts,
    MixedKernels,
    RoutedMaps,
    RoutedTokens,
    SelfAttention,
    SoftTokens,
)
from moe_lab.outputs import Routing
from moe_lab.routers import LinearGate, Router, SoftmaxRouter, TopKRouter
from moe_lab.routers.base import RowSum

D, E = 6, 4


class Fixed(Router):
    """Weights that a test writes down, whatever the features are."""

    row_sum: RowSum = "free"

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights, self.num_experts = weights, weights.shape[-1]

    def route(self, features: Tensor) -> Routing:
        return Routing(self.weights.log(), self.weights, self.weights)


def tokens_layer(weights: Tensor, capacity_factor: float | None = None) -> RoutedTokens:
    torch.manual_seed(0)
    return RoutedTokens(Fixed(weights), MLPExperts(weights.shape[-1], D, 8, D), capacity_factor)


def alone(layer: RoutedTokens, expert: int, rows: Tensor) -> Tensor:
    weights = functional.one_hot(torch.full((len(rows),), expert), layer.experts.num_experts)
    return layer.experts(rows, Plan.from_weights(weights.float()))


WANTED = torch.tensor(
    [  # one image, four tokens, two experts
        [0.9, 0.0],
        [0.5, 0.5],
        [0.7, 0.3],
        [0.6, 0.0],
    ]
)


def test_a_token_gets_the_weighted_sum_of_its_experts_and_nothing_when_dropped() -> None:
    layer = tokens_layer(WANTED, 0.5)
    rows = torch.randn(4, D)
    routed = layer(rows[None])
    expected = torch.stack(
        [
            0.9 * alone(layer, 0, rows[:1])[0],
            0.5 * alone(layer, 1, rows[1:2])[0],
            0.7 * alone(layer, 0, rows[2:3])[0] + 0.3 * alone(layer, 1, rows[2:3])[0],
            torch.zeros(D),
        ]
    )
    torch.testing.assert_close(routed.outputs[0], expected)
    assert routed.outputs[0, 3].tolist() == [0.0] * D


def test_an_images_routing_is_the_mean_over_its_tokens_after_capacity() -> None:
    routed = tokens_layer(WANTED, 0.5)(torch.randn(1, 4, D))
    torch.testing.assert_close(routed.layer.weights, torch.tensor([[1.6 / 4, 0.8 / 4]]))
    torch.testing.assert_close(routed.layer.probs, WANTED.mean(0, keepdim=True))
    assert torch.equal(routed.decisions.weights, WANTED)  # what the router wanted, for losses
    assert routed.used is not None
    assert routed.dropped is not None
    assert routed.used.tolist() == [[2, 2]]
    assert routed.dropped.tolist() == [[2, 0]]


def test_an_expert_without_a_token_has_weight_zero_and_is_not_computed() -> None:
    weights = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    layer = tokens_layer(weights)
    plans: list[Plan] = []
    layer.experts.register_forward_pre_hook(lambda bank, asked: plans.append(asked[1]))
    routed = layer(torch.randn(1, 2, D))
    assert routed.layer.weights.tolist() == [[0.5, 0.0, 0.5]]
    assert plans[0].counts == (1, 0, 1)


def test_identical_experts_are_one_expert() -> None:
    torch.manual_seed(0)
    experts = MLPExperts(E, D, 8, D)
    for parameter in experts.parameters():
        parameter.data.copy_(parameter.data[:1].expand_as(parameter))
    tokens = torch.randn(3, 5, D)
    single = experts(tokens.flatten(0, 1), Plan.every(15, E))[:15].view(3, 5, D)
    for top_k in (2, 3, 4):  # weights sum to 1
        layer = RoutedTokens(TopKRouter(LinearGate(D, E), top_k), experts)
        torch.testing.assert_close(layer(tokens).outputs, single)


@pytest.mark.parametrize("kind", ["tokens", "maps", "kernels"])
def test_all_experts_at_once_are_the_softmax_mixture(kind: str) -> None:
    torch.manual_seed(0)
    gate = LinearGate(D, E, init_std=1.0)
    sparse, dense = TopKRouter(gate, E), SoftmaxRouter(gate)
    if kind == "tokens":
        bank = MLPExperts(E, D, 8, D)
        asked: tuple[Tensor, ...] = (torch.randn(3, 5, D),)
        pair = [RoutedTokens(router, bank)(*asked).outputs for router in (sparse, dense)]
    else:
        convolutions = ConvExperts(E, D)
        layer = RoutedMaps if kind == "maps" else MixedKernels
        asked = (torch.randn(3, D, 5, 4), torch.randn(3, D))
        pair = [layer(router, convolutions)(*asked).outputs for router in (sparse, dense)]
    torch.testing.assert_close(pair[0], pair[1])


def conv_loop(experts: ConvExperts, maps: Tensor, weights: Tensor) -> Tensor:
    """Every expert on every image, one at a time."""
    answers = []
    for image, row in zip(maps, weights, strict=True):
        total = torch.zeros_like(image)
        for weight, kernel, bias in zip(row, experts.kernels, experts.bias, strict=True):
            total = (
                total + weight * functional.conv2d(image[None], kernel, bias, padding=1)[0].relu()
            )
        answers.append(total)
    return torch.stack(answers)


@pytest.mark.parametrize("top_k", [1, 2, E])
def test_chosen_convolutions_are_the_loop_over_all_of_them(top_k: int) -> None:
    torch.manual_seed(0)
    layer = RoutedMaps(TopKRouter(LinearGate(D, E, init_std=1.0), top_k), ConvExperts(E, D))
    maps, features = torch.randn(7, D, 5, 4), torch.randn(7, D)
    routed = layer(maps, features)
    expected = conv_loop(layer.experts, maps, routed.layer.weights)  # type: ignore[arg-type]
    torch.testing.assert_close(routed.outputs, expected)
    assert ((routed.layer.weights != 0).sum(1) == top_k).all()


def test_mixed_kernels_are_an_explicit_convolution_of_each_image() -> None:
    torch.manual_seed(0)
    layer = MixedKernels(SoftmaxRouter(LinearGate(D, E, init_std=1.0)), ConvExperts(E, D))
    maps, features = torch.randn(5, D, 6, 3), torch.randn(5, D)
    routed = layer(maps, features)
    experts = layer.experts
    assert isinstance(experts, ConvExperts)
    for image in range(5):
        row = routed.layer.weights[image]
        kernel = sum(w * k for w, k in zip(row, experts.kernels, strict=True))
        bias = sum(w * b for w, b in zip(row, experts.bias, strict=True))
        assert isinstance(kernel, Tensor)
        assert isinstance(bias, Tensor)
        expected = functional.conv2d(maps[image][None], kernel, bias, padding=1).relu()
        torch.testing.assert_close(routed.outputs[image], expected[0], atol=1e-5, rtol=1e-5)


def test_one_expert_of_weight_one_is_the_same_either_way() -> None:
    torch.manual_seed(0)
    router, bank = Fixed(torch.eye(E)[[2, 0, 2]]), ConvExperts(E, D)
    maps, features = torch.randn(3, D, 4, 4), torch.randn(3, D)
    first, second = (kind(router, bank)(maps, features) for kind in (RoutedMaps, MixedKernels))
    torch.testing.assert_close(first.outputs, second.outputs, atol=1e-5, rtol=1e-5)


def test_images_without_any_weight_pass_by_and_leave_zero_gradients() -> None:
    bank = ConvExperts(2, D)
    layer = RoutedMaps(Fixed(torch.zeros(3, 2)), bank)
    maps = torch.randn(3, D, 4, 4, requires_grad=True)
    answers = layer(maps, torch.randn(3, D)).outputs
    assert answers.abs().max() == 0
    answers.sum().backward()
    assert bank.kernels.grad is not None
    assert bank.kernels.grad.abs().max() == 0


def test_gradients_are_those_of_the_loop() -> None:
    torch.manual_seed(0)
    weights = torch.tensor([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    bank = ConvExperts(3, D).double()
    maps = torch.randn(3, D, 4, 4, dtype=torch.float64, requires_grad=True)
    push = torch.randn(3, D, 4, 4, dtype=torch.float64)
    inputs = [maps, bank.kernels, bank.bias]
    plan = Plan.from_weights(weights.double())
    found = torch.autograd.grad(
        (plan.mix(bank(maps, plan).flatten(1)).view_as(push) * push).sum(), inputs
    )
    wanted = torch.autograd.grad((conv_loop(bank, maps, weights.double()) * push).sum(), inputs)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = SelfAttention(8, 2), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.in_proj_weight.data.copy_(ours.queries_keys_values.weight)
    theirs.in_proj_bias.data.copy_(ours.queries_keys_values.bias)
    theirs.out_proj.weight.data.copy_(ours.out.weight)
    theirs.out_proj.bias.data.copy_(ours.out.bias)
    tokens = torch.randn(3, 5, 8)
    torch.testing.assert_close(ours(tokens), theirs(tokens, tokens, tokens)[0])


@pytest.mark.parametrize("size", [(2, 4), (4, 2)])
def test_experts_that_change_the_width_of_a_token_are_refused(size: tuple[int, int]) -> None:
    bank = MLPExperts(E, size[0], 8, size[1])
    with pytest.raises(ValueError, match=f"out_features must be {size[0]}, got {size[1]}"):
        RoutedTokens(TopKRouter(LinearGate(size[0], E), 2), bank)


def test_a_router_and_a_bank_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="selects from 4 experts, the bank holds 5"):
        RoutedMaps(TopKRouter(LinearGate(D, 4), 2), ConvExperts(5, D))


def test_soft_slots_are_an_explicit_loop_over_slots() -> None:
    torch.manual_seed(0)
    layer = SoftTokens(MLPExperts(3, D, 8, D), slots=2)
    tokens = torch.randn(2, 5, D)
    routed = layer(tokens)
    keys = layer.slot_vectors / layer.slot_vectors.norm(dim=0)
    for image, rows in enumerate(tokens):
        scores = (rows / rows.norm(dim=-1, keepdim=True)) @ keys * layer.scale  # [tokens, slots]
        answers = [
            layer.experts((scores[:, s].softmax(0) @ rows)[None], Plan.from_weights(own[None]))[0]
            for s, own in enumerate(torch.eye(3).repeat_interleave(2, 0))
        ]
        combine = scores.softmax(-1)
        torch.testing.assert_close(routed.outputs[image], combine @ torch.stack(answers))
        shares = combine.mean(0).view(3, 2).sum(1)
        torch.testing.assert_close(routed.layer.weights[image], shares)
