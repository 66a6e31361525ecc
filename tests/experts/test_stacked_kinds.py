"""Each stacked bank equals a loop over plain modules, in values and in every gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from moe_lab.dispatch import Plan
from tests.experts.plain import PLAIN, D, build, pieces, separate
from tests.experts.reference import CASES, linears, routing, run, stacked, weights_of


def gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", PLAIN)
def test_bank_equals_the_loop_of_plain_modules(kind: str, case: str) -> None:
    torch.manual_seed(0)
    weights = weights_of(case)
    bank = build(kind, weights.shape[1])
    loop = separate(kind, bank)
    features = torch.randn(len(weights), 2, 3)
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(run(bank, features, weights), run(loop, features, weights), **close)
    for place, (weight, bias) in enumerate(pieces(kind, bank, gradient=True)):
        for index, expert in enumerate(loop.experts):
            linear = linears(expert)[place]
            torch.testing.assert_close(weight[index], gradient(linear.weight).t(), **close)
            torch.testing.assert_close(bias[index], gradient(linear.bias), **close)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", PLAIN)
def test_bank_in_bfloat16_stays_near_float32(kind: str, case: str) -> None:
    # 8 bits are 0.4 percent a number; norms divide by small spreads and up to six layers follow
    # each other, so the error of a whole tensor may reach a tenth of its length.
    torch.manual_seed(0)
    weights = weights_of(case).bfloat16()
    bank = build(kind, weights.shape[1]).bfloat16()
    loop = separate(kind, bank)
    features = torch.randn(len(weights), 2, 3).bfloat16()
    got = run(bank, features, weights)
    expected = run(loop, features.float(), weights.float())
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours.float() - theirs).norm() <= 0.1 * theirs.norm()


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("kind", PLAIN)
def test_gradients_are_right_in_double_precision(kind: str, k: int) -> None:
    torch.manual_seed(0)
    bank = build(kind, 4).double()
    plan = Plan.from_weights(routing(5, 4, k, torch.float64))
    features = torch.randn(5, D, dtype=torch.float64, requires_grad=True)

    def forward(features: Tensor, *_: Tensor) -> Tensor:
        answers: Tensor = bank(features, plan)
        return answers

    assert torch.autograd.gradcheck(forward, (features, *bank.parameters()), fast_mode=True)


@pytest.mark.parametrize("kind", PLAIN)
def test_every_layer_is_drawn_for_its_own_fan_in(kind: str) -> None:
    torch.manual_seed(0)
    for layer in stacked(build(kind, 40)):
        bound = layer.in_features**-0.5
        assert 0.9 * bound < layer.weight.detach().abs().max() <= bound
        assert layer.weight.detach().flatten(1).std(0).min() > 0.3 * bound  # experts differ
