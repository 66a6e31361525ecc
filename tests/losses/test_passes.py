"""Terms on passes, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from moe_lab.losses import Monotone, PredictedError
from moe_lab.outputs import IterativeOutput

# Two images with labels 0 and 1 over three passes: probability of the label in each pass.
LABELS = torch.tensor([0, 1])
OF_LABEL = torch.tensor([[0.8, 0.1], [0.4, 0.2], [0.5, 0.2]])  # [T, B]
PASSES = torch.stack(
    (
        torch.stack((OF_LABEL[:, 0], 1 - OF_LABEL[:, 0]), -1),
        torch.stack((1 - OF_LABEL[:, 1], OF_LABEL[:, 1]), -1),
    ),
    1,
).log()  # [T, B, C]


def output(forecast: torch.Tensor | None = None) -> IterativeOutput:
    return IterativeOutput(PASSES[-1], PASSES, predicted_error=forecast)


def test_monotone_charges_what_a_pass_makes_worse() -> None:
    # Only image 0 gets worse, once: from -log 0.8 to -log 0.4, of four steps in all.
    assert float(Monotone()(output(), LABELS)) == pytest.approx(math.log(2) / 4)


def test_monotone_is_zero_for_one_pass_and_for_steady_progress() -> None:
    single = IterativeOutput(PASSES[0], PASSES[:1])
    assert float(Monotone()(single, LABELS)) == 0
    rising = PASSES[:, 1:]  # 0.1, 0.2, 0.2
    assert float(Monotone()(IterativeOutput(rising[-1], rising), LABELS[1:])) == 0


def test_monotone_has_no_gradient_for_the_pass_before() -> None:
    passes = PASSES.clone().requires_grad_()
    Monotone()(IterativeOutput(passes[-1], passes), LABELS).backward()
    assert passes.grad is not None
    assert passes.grad[0].abs().sum() == 0
    assert passes.grad[1, 0].tolist() == [-0.25, 0.0]


def test_predicted_error_is_the_squared_distance_from_the_true_error() -> None:
    # True errors: image 0 (0.2, -0.2), (0.6, -0.6); image 1 (-0.9, 0.9), (-0.8, 0.8).
    perfect = torch.tensor([[[0.2, -0.2], [-0.9, 0.9]], [[0.6, -0.6], [-0.8, 0.8]]])
    assert float(PredictedError()(output(perfect), LABELS)) == pytest.approx(0, abs=1e-12)
    zero = torch.zeros(2, 2, 2)
    expected = 2 * (0.04 + 0.81 + 0.36 + 0.64) / 4
    assert float(PredictedError()(output(zero), LABELS)) == pytest.approx(expected)


def test_predicted_error_has_no_gradient_for_the_prediction() -> None:
    passes = PASSES.clone().requires_grad_()
    forecast = torch.zeros(2, 2, 2, requires_grad=True)
    term = PredictedError()
    term(IterativeOutput(passes[-1], passes, predicted_error=forecast), LABELS).backward()
    assert passes.grad is None
    assert forecast.grad is not None
    assert forecast.grad.abs().sum() > 0
