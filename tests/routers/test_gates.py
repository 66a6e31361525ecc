"""The convolutional gate: what it computes, how it starts, which backbones it goes with."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from moe_lab.data import MNIST5kSource
from moe_lab.routers import ConvGate, MLPGate


def test_flat_and_unflattened_images_get_the_same_scores() -> None:
    torch.manual_seed(0)
    gate, images = ConvGate([3, 8, 8], 192, 4), torch.randn(5, 3, 8, 8)
    assert torch.equal(gate(images), gate(images.flatten(1)))


def test_scores_are_a_convolution_and_two_linear_layers() -> None:
    torch.manual_seed(0)
    gate, images = ConvGate([1, 7, 5], 35, 3, channels=2, hidden=6), torch.randn(4, 1, 7, 5)
    kernels, bias, first, first_bias, last, last_bias = gate.parameters()
    maps = functional.max_pool2d(functional.conv2d(images, kernels, bias, padding=1).relu(), 2)
    assert maps.shape == (4, 2, 3, 2)  # halves, rounded down
    expected = (maps.reshape(4, 12) @ first.T + first_bias).relu() @ last.T + last_bias
    torch.testing.assert_close(gate(images), expected)


def test_in_bfloat16_only_the_scores_are_not_rounded() -> None:
    torch.manual_seed(0)
    exact = ConvGate([3, 16, 16], 768, 8, channels=[8, 16], hidden=32, init_std=0.5)
    rough = ConvGate([3, 16, 16], 768, 8, channels=[8, 16], hidden=32, bfloat16=True)
    rough.load_state_dict(exact.state_dict())
    images = torch.randn(64, 768)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = exact.network.hidden(images).float()
    expected = hidden @ exact.network.head[-1].weight.T  # start_evenly leaves the bias at 0
    with torch.autocast("cpu", enabled=False):  # as in a router
        scores = rough(images)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)
    reference = exact(images).detach()
    assert 1e-4 < float((scores - reference).abs().max().detach() / reference.std()) < 0.05
    scores.sum().backward()
    assert all(weights.grad.dtype == torch.float32 for weights in rough.parameters())


def test_features_that_are_not_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[1, 28, 28\], 784 values.*128 features.*backbone=flat"):
        ConvGate([1, 28, 28], 128, 4)
    with pytest.raises(ValueError, match=r"channels\[0\] must be a positive integer, got 0"):
        ConvGate([1, 28, 28], 784, 4, channels=0)


def test_it_costs_about_as_much_as_a_small_perceptron_gate_on_mnist() -> None:
    costs = []
    for gate in (ConvGate([1, 28, 28], 784, 8), MLPGate(784, 64, 8)):
        with FlopCounterMode(display=False) as counter:
            gate(torch.zeros(1, 784))
        costs.append(counter.get_total_flops())
    # 2 * (28*28*4*9 + 14*14*4*32 + 32*8) and 2 * (784*64 + 64*8)
    assert costs == [107136, 101376]


@functools.cache
def digits() -> torch.Tensor:
    """500 digits of all classes, with mean 0 and variance 1."""
    images = MNIST5kSource().load().train_images[::9].float().flatten(1)
    return (images - images.mean()) / images.std()


@pytest.mark.parametrize("batch_norm", [0, 1])
def test_a_fresh_gate_sends_images_to_most_experts(batch_norm: int) -> None:
    images, largest, used = digits(), [], []
    for seed in range(5):
        torch.manual_seed(seed)
        gate = ConvGate([1, 28, 28], 784, 10, batch_norm=batch_norm)
        load = torch.bincount(gate(images).topk(2).indices.flatten(), minlength=10) / len(images)
        largest.append(float(load.max()))
        used.append(int((load > 0.02).sum()))
    # 0.2 is even, 1.0 is total collapse; a last layer that is only drawn comes to 0.74 and 0.71.
    assert sum(largest) / 5 < 0.6
    assert min(used) >= 7


def test_a_fresh_gate_leaves_no_trace_of_the_pictures_it_started_with() -> None:
    gate = ConvGate([1, 28, 28], 784, 10, channels=[4, 4], batch_norm=2, init_std=0.3)
    for norm in (layer for layer in gate.modules() if isinstance(layer, nn.BatchNorm2d)):
        assert norm.num_batches_tracked == 0
        assert norm.running_mean is not None
        assert norm.running_mean.abs().max() == 0
    last = gate.network.head[-1]
    assert 0.2 < float(last.weight.detach().std()) < 0.4
    assert last.bias.abs().max() == 0
