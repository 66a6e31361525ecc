"""The stacked bank equals the loop of separate modules, in values and in every gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertList, MLPExperts, mlp_expert_list
from tests.experts.reference import (
    CASES,
    as_list,
    routing,
    run,
    stacked,
    stacked_gradients,
    weights_of,
)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # bfloat16 keeps 8 bits (2**-8 = 0.004); sums of a few dozen rounded terms, compared with
    # float32 arithmetic on the same rounded numbers, stay within 0.05 of values of order 1.
    [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)],
)
@pytest.mark.parametrize("hidden", [16, [7, 9]])
def test_stacked_bank_equals_the_loop(
    case: str, dtype: torch.dtype, tolerance: float, hidden: int | list[int]
) -> None:
    torch.manual_seed(0)
    weights = weights_of(case).to(dtype)
    bank = MLPExperts(weights.shape[1], 6, hidden, 10).to(dtype)
    separate = as_list(bank).float()
    features = torch.randn(len(weights), 2, 3).to(dtype)
    got = run(bank, features, weights)
    expected = run(separate, features.float(), weights.float())
    gradients = [parameter.grad for layer in stacked(bank) for parameter in layer.parameters()]
    for ours, theirs in zip(
        [*got, *gradients], [*expected, *stacked_gradients(separate)], strict=True
    ):
        assert ours is not None
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.float(), theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_activations_equal_those_of_the_loop(activation: str) -> None:
    bank = MLPExperts(5, 6, 16, 10, activation=activation)
    features, weights = torch.randn(33, 6), routing(33, 5, 2)
    got = run(bank, features, weights)
    expected = run(as_list(bank, activation), features, weights)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("k", [2, 4])
def test_gradients_of_the_bank_are_right_in_double_precision(k: int, activation: str) -> None:
    torch.manual_seed(0)
    bank = MLPExperts(4, 3, 5, 2, activation=activation).double()
    plan = Plan.from_weights(routing(6, 4, k, torch.float64))
    features = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)

    def forward(features: Tensor, *_: Tensor) -> Tensor:
        answers: Tensor = bank(features, plan)
        return answers

    assert torch.autograd.gradcheck(forward, (features, *bank.parameters()))


def test_identical_experts_with_weights_summing_to_one_are_one_expert() -> None:
    bank = MLPExperts(5, 6, 16, 10)
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.copy_(parameter[:1].expand_as(parameter))
    weights = routing(20, 5, 3)
    weights /= weights.sum(1, keepdim=True)
    features = torch.randn(20, 6)
    plan = Plan.from_weights(weights)
    single = as_list(bank).experts[0](features)
    torch.testing.assert_close(plan.mix(bank(features, plan)), single)


def test_flops_are_those_of_the_used_pairs() -> None:
    bank, features = MLPExperts(8, 12, 20, 10), torch.randn(30, 12)
    per_pair = 2 * (12 * 20 + 20 * 10)
    features.requires_grad_()
    for plan, pairs in ((Plan.from_weights(routing(30, 8, 2)), 60), (Plan.every(30, 8), 240)):
        with FlopCounterMode(display=False) as counter:
            out = bank(features, plan)
        assert counter.get_total_flops() == pairs * per_pair
        with FlopCounterMode(display=False) as counter:
            out.sum().backward()
        assert counter.get_total_flops() == 2 * pairs * per_pair


def test_the_list_calls_each_expert_once_on_its_own_rows() -> None:
    bank = mlp_expert_list(4, 6, 8, 10)
    seen: dict[int, int] = {}
    for index, expert in enumerate(bank.experts):
        expert.register_forward_pre_hook(
            lambda _, own, index=index: seen.update({index: len(own[0])})
        )
    weights = torch.tensor([[1.0, 0, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 1.0, 0]])
    bank(torch.randn(3, 6), Plan.from_weights(weights))
    assert seen == {0: 2, 2: 2}


def test_the_list_mixes_different_experts() -> None:
    bank = ExpertList([nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 9), nn.Linear(9, 2))], 2)
    answers = bank(torch.randn(4, 3), Plan.every(4, 2))
    assert answers.shape == (8, 2)
    assert bank.parameters_per_expert() == [8, 36 + 20]


def test_parameters_per_expert_is_that_of_one_perceptron() -> None:
    expected = [(6 * 7 + 7) + (7 * 9 + 9) + (9 * 10 + 10)] * 5
    assert MLPExperts(5, 6, [7, 9], 10).parameters_per_expert() == expected
    assert mlp_expert_list(5, 6, [7, 9], 10).parameters_per_expert() == expected


def test_dropout_acts_in_training_only() -> None:
    bank, plan = MLPExperts(4, 6, 64, 10, dropout=0.5), Plan.from_weights(routing(9, 4, 2))
    features = torch.randn(9, 6)
    assert not torch.equal(bank(features, plan), bank(features, plan))
    bank(features, plan).sum().backward()
    bank.eval()
    assert torch.equal(bank(features, plan), bank(features, plan))


def test_autocast_gives_bfloat16_outputs() -> None:
    bank, features = MLPExperts(4, 6, 8, 10), torch.randn(9, 6)
    for k in (2, 4):
        plan = Plan.from_weights(routing(9, 4, k))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            answers = bank(features, plan)
            assert answers.dtype == torch.bfloat16
            assert plan.mix(answers).dtype == torch.float32


@pytest.mark.parametrize("build", [MLPExperts, mlp_expert_list])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "tanh"}, "activation must be one of relu, gelu, silu, got 'tanh'"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"hidden": []}, "hidden must be"),
        ({"hidden": [4, 0]}, r"hidden\[1\] must be a positive integer, got 0"),
        ({"num_experts": 0}, "num_experts must be a positive integer, got 0"),
    ],
)
def test_impossible_settings_are_named(
    build: object, change: dict[str, object], message: str
) -> None:
    settings = {"num_experts": 4, "in_features": 6, "hidden": 8, "out_features": 10} | change
    assert callable(build)
    with pytest.raises(ValueError, match=message):
        build(**settings)
