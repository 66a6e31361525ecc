"""Convolutional, zero, shared and mixed experts: what each alone promises."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from moe_lab.dispatch import Plan
from moe_lab.experts import (
    DeepExperts,
    MLPExperts,
    SEConvExpert,
    SharedExperts,
    ZeroExperts,
    mixed_expert_list,
)
from moe_lab.experts.se_conv import SEConvBlock
from moe_lab.models.combine import CombineLogits
from tests.experts.reference import routing

D, C = 6, 5


def test_se_block_is_its_formula() -> None:
    torch.manual_seed(0)
    block, images = SEConvBlock(2, 20, 4), torch.randn(3, 2, 6, 6)
    residual = block.norm(functional.conv2d(images, block.conv.weight, block.conv.bias, padding=1))
    # Each image on its own: mean 0 and variance 1 over all its channels and pixels.
    torch.testing.assert_close(residual.mean((1, 2, 3)), torch.zeros(3), atol=1e-6, rtol=0)
    means = residual.mean((2, 3))
    assert block.gate.squeeze.out_features == 5  # 20 / 4
    gates = torch.sigmoid(block.gate.excite(functional.silu(block.gate.squeeze(means))))
    skip = torch.einsum("oi,nihw->nohw", block.skip.weight[:, :, 0, 0], images)
    skip = skip + block.skip.bias[:, None, None]
    expected = functional.max_pool2d((skip + residual * gates[:, :, None, None]).relu(), 2)
    torch.testing.assert_close(block(images), expected)


def test_se_conv_keeps_its_input_where_the_channels_agree() -> None:
    expert = SEConvExpert((4, 8, 8), [4, 6], 5, 3)
    kept, widened = (block.skip for block in expert.modules() if isinstance(block, SEConvBlock))
    assert isinstance(kept, nn.Identity)
    assert isinstance(widened, nn.Conv2d)


@pytest.mark.parametrize(("num_zero", "expected"), [(None, 2), (0, 0), (3, 3)])
def test_zero_experts_come_last_return_zeros_and_have_no_parameters(
    num_zero: int | None, expected: int
) -> None:
    bank = ZeroExperts(8, D, 4, C, num_zero=num_zero)
    own = (D * 4 + 4) + (4 * C + C)
    assert bank.parameters_per_expert() == [own] * (8 - expected) + [0] * expected
    everyone = Plan.every(3, 8)
    answers = everyone.dense(bank(torch.randn(3, D), everyone))
    silent = (answers == 0).flatten(2).all(-1).all(0)
    assert silent.tolist() == [False] * (8 - expected) + [True] * expected


def test_one_zero_expert_by_default_in_a_bank_of_four_and_none_in_a_bank_of_one() -> None:
    assert ZeroExperts(4, D, 4, C).num_zero == 1
    assert ZeroExperts(1, D, 4, C).num_zero == 0


def test_zero_experts_cost_no_arithmetic_and_train_the_router() -> None:
    bank, features = ZeroExperts(4, D, 4, C, num_zero=2), torch.randn(3, D)
    weights = torch.tensor([[0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 0.4, 0.6], [0.0, 1.0, 0.0, 0.0]])
    weights.requires_grad_()
    plan = Plan.from_weights(weights)
    with FlopCounterMode(display=False) as counter:
        answers = bank(features, plan)
    assert counter.get_total_flops() == 2 * 2 * (D * 4 + 4 * C)  # two pairs with real experts
    log_probs = CombineLogits()(answers, plan)
    torch.testing.assert_close(log_probs[1].exp(), torch.full((C,), 1 / C))
    alone = bank.real(features[:1], Plan.every(1, 2))[0]
    torch.testing.assert_close(log_probs[0], (0.5 * alone).log_softmax(-1))
    log_probs[:, 0].sum().backward()
    assert weights.grad is not None
    assert weights.grad[0, 0] != 0
    assert weights.grad[0, 2] == 0  # zero logits: no weight can change the sum through them


def test_an_image_with_zero_experts_only_leaves_the_real_ones_without_work() -> None:
    bank = ZeroExperts(2, D, 4, C, num_zero=1)
    plan = Plan.from_weights(torch.tensor([[0.0, 1.0]] * 3))
    features = torch.randn(3, D, requires_grad=True)
    answers = bank(features, plan)
    assert torch.equal(answers, torch.zeros(3, C))
    answers.sum().backward()
    for parameter in bank.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() == 0


def shared_bank(num_shared: int = 2) -> SharedExperts:
    torch.manual_seed(0)
    return SharedExperts(4, D, 8, C, num_shared=num_shared, shared_hidden=3)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_shared_experts_add_their_output_times_the_sum_of_the_weights(k: int) -> None:
    bank, features, weights = shared_bank(), torch.randn(9, D), routing(9, 4, k)
    plan = Plan.from_weights(weights)
    everyone = Plan.every(9, 4)
    routed = everyone.dense(bank.routed(features, everyone))  # [B, E, C]
    both = Plan.every(9, 2)
    shared = both.dense(bank.shared(features, both)).sum(1)  # [B, C]
    expected = torch.einsum("be,bec->bc", weights, routed) + shared * weights.sum(1, keepdim=True)
    torch.testing.assert_close(plan.mix(bank(features, plan)), expected)


def test_shared_experts_see_each_image_of_the_plan_once() -> None:
    bank, features = shared_bank(), torch.randn(5, D)
    features.requires_grad_()
    weights = routing(5, 4, 3)
    weights[1] = weights[4] = 0  # two images without any expert
    per_routed, per_shared = 2 * (D * 8 + 8 * C), 2 * (D * 3 + 3 * C)
    with FlopCounterMode(display=False) as counter:
        answers = bank(features, Plan.from_weights(weights))
    assert counter.get_total_flops() == 3 * 3 * per_routed + 3 * 2 * per_shared
    assert bank.shared_flops_per_image() == 2 * per_shared
    with FlopCounterMode(display=False) as counter:
        answers.sum().backward()
    assert counter.get_total_flops() == 2 * (3 * 3 * per_routed + 3 * 2 * per_shared)
    assert features.grad is not None
    assert features.grad[[1, 4]].abs().max() == 0


def test_shared_experts_belong_to_no_expert() -> None:
    assert shared_bank().parameters_per_expert() == [(D * 8 + 8) + (8 * C + C)] * 4
    one = SharedExperts(4, D, 8, C)
    assert one.shared.parameters_per_expert() == [(D * 8 + 8) + (8 * C + C)]


def test_mixed_experts_are_the_listed_ones_in_turn() -> None:
    torch.manual_seed(0)
    kinds = [partial(MLPExperts), partial(DeepExperts, hidden=[3, 3])]
    bank = mixed_expert_list(5, D, 8, C, kinds)
    mlp = (D * 8 + 8) + (8 * C + C)
    deep = 2 * (D * 3 + 3) + (3 * 3 + 3) + (3 * C + C)
    assert bank.parameters_per_expert() == [mlp, deep, mlp, deep, mlp]
    features = torch.randn(4, D)
    everyone = Plan.every(4, 5)
    answers = everyone.dense(bank(features, everyone))
    for index, expert in enumerate(bank.experts):
        torch.testing.assert_close(answers[:, index], expert(features))


def test_a_single_mixed_expert_is_the_first() -> None:
    bank = mixed_expert_list(1, D, 8, C, [partial(DeepExperts), partial(MLPExperts)])
    assert isinstance(bank.experts[0].bank, DeepExperts)


def test_an_entry_of_mixed_experts_is_one_expert() -> None:
    with pytest.raises(ValueError, match="is one expert, got a bank of 3"):
        mixed_expert_list(2, D, 8, C, [partial(MLPExperts, num_experts=3)])
