"""What holds for every bank of the catalogue."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from moe_lab.dispatch import Plan
from moe_lab.errors import ConfigError
from moe_lab.experts import ExpertBank, SharedExperts
from tests.experts.kinds import KINDS, WITH_DROPOUT, C, D, make
from tests.experts.reference import CASES, routing, weights_of


def gradients(bank: ExpertBank, answers: Tensor, features: Tensor, grad: Tensor) -> list[Tensor]:
    """Of the features and of every parameter."""
    leaves = (features, *bank.parameters())
    found = torch.autograd.grad(answers, leaves, grad, materialize_grads=True)
    return list(found)


@pytest.mark.parametrize("kind", KINDS)
def test_selected_experts_give_the_same_outputs_as_in_a_dense_plan(kind: str) -> None:
    for case in CASES:
        torch.manual_seed(0)
        weights = weights_of(case)
        num_images, num_experts = weights.shape
        bank = make(kind, num_experts)
        features = torch.randn(num_images, D, requires_grad=True)
        plan = Plan.from_weights(weights)
        place = plan.expert * num_images + plan.row
        chosen = bank(features, plan)
        picked = bank(features, Plan.every(num_images, num_experts))[place]
        assert chosen.shape == (len(plan.row), C), case
        grad = torch.randn(chosen.shape)
        close = {"rtol": 1e-5, "atol": 1e-5, "msg": lambda text, case=case: f"{case}: {text}"}
        torch.testing.assert_close(chosen, picked, **close)
        if len(place):
            ours = gradients(bank, chosen, features, grad)
            torch.testing.assert_close(ours, gradients(bank, picked, features, grad), **close)


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_does_not_depend_on_the_other_images(kind: str) -> None:
    torch.manual_seed(0)
    bank = make(kind)
    features, everyone = torch.randn(6, D), Plan.every(6, 4)
    for training in (True, False):
        alone = bank.train(training)(features[2:3], Plan.every(1, 4))
        together = everyone.dense(bank(features, everyone))
        torch.testing.assert_close(alone, together[2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_gives_the_same_output_as_a_row_and_as_a_picture(kind: str) -> None:
    bank, features, plan = make(kind), torch.randn(3, D), Plan.every(3, 4)
    assert torch.equal(bank(features, plan), bank(features.view(3, 2, 4, 4), plan))


@pytest.mark.parametrize("kind", KINDS)
def test_one_expert_works_alone(kind: str) -> None:
    bank = make(kind, 1)
    for num_images in (0, 1, 5):
        answers = bank(torch.randn(num_images, D), Plan.every(num_images, 1))
        assert answers.shape == (num_images, C)
        answers.sum().backward()


@pytest.mark.parametrize("kind", KINDS)
def test_experts_start_different(kind: str) -> None:
    torch.manual_seed(0)
    bank, everyone = make(kind), Plan.every(9, 4)
    answers = everyone.dense(bank(torch.randn(9, D), everyone))  # [B, E, C]
    for other in (1, 2, 3):
        assert (answers[:, 0] - answers[:, other]).abs().mean() > 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_of_experts_and_shared_ones_are_all_there_are(kind: str) -> None:
    bank = make(kind)
    shared = 0
    if isinstance(bank, SharedExperts):
        shared = 2 * ((D * 5 + 5) + (5 * C + C))
    total = sum(parameter.numel() for parameter in bank.parameters())
    assert sum(bank.parameters_per_expert()) + shared == total
    assert len(bank.parameters_per_expert()) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_used_experts_are_computed(kind: str) -> None:
    bank, features = make(kind), torch.randn(12, D)
    shared = 12 * 2 * 2 * (D * 5 + 5 * C) if kind == "shared" else 0  # each image once, two of them
    weights = torch.zeros(12, 4)
    weights[:, 0] = 0.5
    weights[:, 1] = 0.5
    counted = []
    for plan in (Plan.from_weights(weights), Plan.every(12, 4)):
        with FlopCounterMode(display=False) as counter:
            bank(features, plan)
        counted.append(counter.get_total_flops() - shared)
    working = 3 if kind == "zero" else 4  # one of the four computes nothing
    assert counted[0] > 0
    assert counted[0] * working == counted[1] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind: str) -> None:
    torch.manual_seed(0)
    bank = make(kind)
    bank(torch.randn(64, D), Plan.every(64, 4)).log_softmax(-1)[:, 0].sum().backward()
    for name, parameter in bank.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", WITH_DROPOUT)
def test_dropout_acts_in_training_only(kind: str) -> None:
    torch.manual_seed(0)
    bank, plan = make(kind, dropout=0.5), Plan.from_weights(routing(9, 4, 2))
    features = torch.randn(9, D)
    assert not torch.equal(bank(features, plan), bank(features, plan))
    bank(features, plan).sum().backward()
    bank.eval()
    assert torch.equal(bank(features, plan), bank(features, plan))


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_stays_near_float32(kind: str) -> None:
    torch.manual_seed(0)
    features = torch.randn(9, D, requires_grad=True)
    for top_k in (2, 4):
        bank, plan = make(kind), Plan.from_weights(routing(9, 4, top_k))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            answers = bank(features, plan)
            assert answers.dtype == torch.bfloat16
        exact = bank(features, plan)
        assert (answers.float() - exact).norm() < 0.05 * exact.norm(), top_k
        answers.float().sum().backward()
        assert all(parameter.grad is not None for parameter in bank.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_below_one_are_refused(kind: str) -> None:
    for size in ("num_experts", "in_features", "out_features", "hidden"):
        with pytest.raises((ValueError, ConfigError), match="got 0"):
            make(kind, **{size: 0})


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("residual", {"num_blocks": 0}, "num_blocks must be a positive integer, got 0"),
        ("attention", {"num_heads": 3}, "num_heads must divide expert.hidden = 8, got 3"),
        ("attention", {"num_heads": 0}, "num_heads must be a positive integer, got 0"),
        ("deep", {"hidden": []}, "hidden must be a positive integer or a list"),
        ("deep", {"activation": "tanh"}, "activation must be one of relu, gelu, silu"),
        ("conv", {"in_features": 128}, r"in_shape = \[2, 4, 4\], got 128; use backbone=flatten"),
        ("se_conv", {"in_shape": (1, 4, 4)}, r"in_shape = \[1, 4, 4\], got 32"),
        ("conv", {"channels": []}, "name 1..2 blocks for 4x4 images"),
        ("conv", {"channels": [2, 2, 2]}, r"since each halves them; got \[2, 2, 2\]"),
        ("conv", {"channels": [2, 0]}, r"channels\[1\] must be a positive integer, got 0"),
        ("conv", {"padding": 2}, "padding must be 0 or 1, got 2"),
        ("conv", {"padding": 0}, r"name 1..1 blocks for 4x4 images.*cutting off a border"),
        ("conv", {"batch_norm": 3}, r"batch_norm must be 0..2, how many of the blocks"),
        ("se_conv", {"reduction": 0}, "reduction must be a positive integer, got 0"),
        ("zero", {"num_zero": 4}, "num_zero must be in 0..num_experts - 1 = 0..3, got 4"),
        ("zero", {"num_zero": -1}, "got -1"),
        ("shared", {"num_shared": 0}, "num_shared must be a positive integer, got 0"),
        ("shared", {"shared_hidden": 0}, "got 0"),
        ("mixed", {"experts": []}, "must list 1..num_experts = 1..4 experts, got 0"),
        ("mixed", {"experts": [KINDS["conv"]] * 5}, "got 5"),
    ],
)
def test_impossible_settings_are_named(kind: str, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(kind, **change)


@pytest.mark.parametrize("kind", WITH_DROPOUT)
def test_dropout_of_everything_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=r"dropout must be at least 0 and below 1, got 1\.0"):
        make(kind, dropout=1.0)
