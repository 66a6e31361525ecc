"""The convolutional gate: what it computes, and which backbones it goes with."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from moe_lab.routers import ConvGate, MLPGate


def test_flat_and_unflattened_images_get_the_same_scores() -> None:
    torch.manual_seed(0)
    gate, images = ConvGate([3, 8, 8], 192, 4), torch.randn(5, 3, 8, 8)
    assert torch.equal(gate(images), gate(images.flatten(1)))


def test_scores_are_two_strided_convolutions_and_a_linear_layer() -> None:
    torch.manual_seed(0)
    gate, images = ConvGate([1, 7, 5], 35, 3, channels=2), torch.randn(4, 1, 7, 5)
    first = functional.conv2d(images, gate.first.weight, stride=2, padding=1).tanh()
    assert first.shape == (4, 2, 4, 3)  # halves, rounded up
    second = functional.conv2d(first, gate.second.weight, stride=2, padding=1).tanh()
    expected = second.reshape(4, 2 * 2 * 2) @ gate.scores.weight.T
    torch.testing.assert_close(gate(images), expected)


@pytest.mark.parametrize("shape", [[1, 1, 1], [2, 3, 9], [1, 28, 28]])
def test_any_image_size_is_read(shape: list[int]) -> None:
    gate = ConvGate(shape, torch.Size(shape).numel(), 4)
    assert gate(torch.randn(2, *shape)).shape == (2, 4)


def test_features_that_are_not_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[1, 28, 28\], 784 values.*128 features.*backbone=flat"):
        ConvGate([1, 28, 28], 128, 4)
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        ConvGate([1, 28, 28], 784, 4, channels=0)


def test_it_costs_less_than_a_small_perceptron_gate_on_mnist() -> None:
    costs = []
    for gate in (ConvGate([1, 28, 28], 784, 8), MLPGate(784, 64, 8)):
        with FlopCounterMode(display=False) as counter:
            gate(torch.zeros(1, 784))
        costs.append(counter.get_total_flops())
    # 2 * (14*14*8*9 + 7*7*8*72 + 392*8) and 2 * (784*64 + 64*8)
    assert costs == [90944, 101376]
