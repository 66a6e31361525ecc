"""The convolutional network that experts and gates are, and its published sizes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.dispatch import Plan
from moe_lab.experts import ConvNetExperts
from moe_lab.models import Mixture
from moe_lab.networks import ConvNet
from moe_lab.training.build import build

MNIST = "expert.channels=1 expert.padding=0 expert.hidden=[5,32] gate.channels=1 gate.padding=0"
MNIST += " gate.hidden=[128,32]"
CIFAR = "expert.channels=[4,8,16,16] expert.hidden=[64,32] expert.batch_norm=2"
CIFAR += " gate.channels=[64,128,256,256] gate.hidden=[512,32] gate.batch_norm=2"


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("padding", [0, 1])
def test_it_is_convolution_relu_and_pooling_then_a_perceptron(padding: int) -> None:
    torch.manual_seed(0)
    net = ConvNet((2, 10, 12), [3, 4], [5, 6], 7, padding)
    pixels = torch.randn(3, 2, 10, 12)
    x = pixels
    for layer in (layer for layer in net.modules() if isinstance(layer, nn.Conv2d)):
        x = functional.conv2d(x, layer.weight, layer.bias, padding=padding).relu()
        x = functional.max_pool2d(x, 2)
    assert x.shape == (3, 4, *((2, 3) if padding else (1, 1)))
    first, second, last = (layer for layer in net.modules() if isinstance(layer, nn.Linear))
    expected = last(second(first(x.flatten(1)).relu()).relu())
    torch.testing.assert_close(net(pixels.flatten(1)), expected)


def test_batch_norm_follows_the_convolution_of_the_first_blocks() -> None:
    torch.manual_seed(0)
    net = ConvNet((1, 8, 8), [3, 4], 5, 7, batch_norm=1)
    kernels, bias, gain, shift, *_ = net.parameters()
    with torch.no_grad():
        gain.copy_(torch.tensor([1.0, -2.0, 0.5]))  # norm and pooling do not commute
        shift.copy_(torch.tensor([0.1, 0.2, -0.3]))
    pixels = torch.randn(6, 1, 8, 8)
    maps = functional.conv2d(pixels, kernels, bias, padding=1)
    variance, mean = torch.var_mean(maps, (0, 2, 3), correction=0, keepdim=True)
    maps = (maps - mean) / (variance + 1e-5).sqrt()
    maps = maps * gain[:, None, None] + shift[:, None, None]
    expected = net.head(net.blocks[4:](functional.max_pool2d(maps.relu(), 2)))
    torch.testing.assert_close(net(pixels), expected)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in net.modules()) == 1


@pytest.mark.parametrize(
    ("dataset", "sizes", "num_experts", "expert", "gate", "total"),
    [
        ("mnist", MNIST, 5, 1_382, 26_063, 32_973),
        ("mnist", MNIST, 10, 1_382, 26_228, 40_048),
        ("cifar10", CIFAR, 5, 10_490, 1_502_661, 1_555_111),
        ("cifar10", CIFAR, 10, 10_490, 1_502_826, 1_607_726),
    ],
)
def test_published_sizes_are_reached_from_the_command_line(
    dataset: str, sizes: str, num_experts: int, expert: int, gate: int, total: int
) -> None:
    register_resolvers()
    typed = ["model=standard", "expert=conv", "gate=conv", f"model.num_experts={num_experts}"]
    typed += [f"dataset={dataset}", *sizes.split()]
    model = build(check_overrides("train", typed, multirun=False).model)
    assert isinstance(model, Mixture)
    assert model.experts.parameters_per_expert() == [expert] * num_experts
    assert count(model.router) == gate
    assert count(model) == total


def test_sizes_on_fashion_are_reached_too() -> None:
    # One block of 8 with batch norm: 80 + 16, then 1352 * 512 + 512, 512 * 32 + 32, 32 * 5 + 5.
    assert count(ConvNet((1, 28, 28), 8, [512, 32], 5, 0, 1)) == 709_413
    assert count(ConvNet((1, 28, 28), 1, [64, 32], 10, 0)) == 13_300


@pytest.mark.parametrize("channels", [1, 2, [2, 3]])
def test_a_shared_first_convolution_gives_the_outputs_and_gradients_of_a_loop(
    channels: int | Sequence[int],
) -> None:
    torch.manual_seed(0)
    bank = ConvNetExperts(3, 200, (2, 10, 10), channels, [5, 6], 4, padding=0)
    assert bank.starts_together
    images, everyone = torch.randn(6, 200, requires_grad=True), Plan.every(6, 3)
    leaves = [images, *bank.parameters()]

    def answer() -> tuple[Tensor, ...]:
        answers = bank(images, everyone)
        return answers, *torch.autograd.grad(answers.square().sum(), leaves)

    together = answer()
    bank.starts_together = False
    for ours, theirs in zip(together, answer(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_batch_norm_keeps_the_first_blocks_apart() -> None:
    assert not ConvNetExperts(3, 64, (1, 8, 8), 1, 5, 4, batch_norm=1).starts_together


def test_with_batch_norm_an_expert_may_see_one_image_or_none() -> None:
    torch.manual_seed(0)
    bank = ConvNetExperts(3, 64, (1, 8, 8), [2, 2, 2], 5, 4, batch_norm=3)
    plan = Plan.from_weights(torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]]))
    answers = bank(torch.randn(2, 64), plan)  # one image, none and two
    answers.sum().backward()
    assert answers.shape == (3, 4)
    assert answers.isfinite().all()
    norms = [[n for n in e.modules() if isinstance(n, nn.BatchNorm2d)] for e in bank.experts]
    # One image alone is normalised with the running statistics and does not change them.
    moved = [[int(norm.num_batches_tracked) for norm in own] for own in norms]
    assert moved == [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
