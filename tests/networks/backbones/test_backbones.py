"""Backbones: the sizes that are published, what whitening does, and images that are too small."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from moe_lab.analysis.audit import audit, compose_subject
from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.errors import ConfigError
from moe_lab.networks.backbones import Airbench, ResNet18, SEResNet, Stem, WideResNet
from moe_lab.networks.backbones.airbench import Whitening
from moe_lab.networks.backbones.se_resnet import SEBlock
from moe_lab.networks.squeeze_excitation import SqueezeExcitation

COLOUR, GREY = (3, 32, 32), (1, 28, 28)
SMALLEST = {
    "se_resnet": (
        16,
        ("backbone.channels=[4,4,4]", "backbone.out_features=6", "backbone.reduction=1"),
    ),
    "wide_resnet": (8, ("backbone.widen=1", "backbone.depth=10")),
    "resnet18": (16, ()),
    "airbench": (17, ("backbone.channels=[26,28]", "backbone.out_features=6")),
}


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small(name: str, *typed: str, size: int | None = None) -> list[str]:
    smallest, sizes = SMALLEST[name]
    side = size or smallest
    images = ["dataset=synthetic", f"dataset.size=[3,{side},{side + 2}]", "num_images=16"]
    return [*images, f"backbone={name}", *sizes, *typed]


def test_the_published_networks_have_their_published_size() -> None:
    # Less the classifier: 64 * 4 * 10 + 10 and 512 * 10 + 10 numbers.
    assert num_parameters(WideResNet(COLOUR, 256, depth=40, widen=4)) == 8_949_210 - 2_570
    assert num_parameters(ResNet18(COLOUR)) == 11_173_962 - 5_130
    assert num_parameters(ResNet18(COLOUR, stem="imagenet")) == 11_689_512 - 513_000


def test_depth_counts_all_convolutions() -> None:
    network = WideResNet(GREY, 128, depth=22, widen=2)
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 22


@pytest.mark.parametrize("name", sorted(SMALLEST))
@pytest.mark.parametrize("model", ["dense", "sparse"])
def test_every_backbone_is_sound_in_front_of_a_model(name: str, model: str) -> None:
    if name == "resnet18" and model == "dense":
        pytest.skip("eleven million parameters; once is enough")
    register_resolvers()
    typed = [f"model={model}", "expert.hidden=8"]
    subject = compose_subject(check_overrides("audit", small(name, *typed), multirun=False))
    assert [f"{v.name}: {v.detail}" for v in audit(subject) if v.passed is False] == []


@pytest.mark.parametrize("name", sorted(SMALLEST))
def test_one_image_is_enough_for_a_training_step(name: str) -> None:
    register_resolvers()
    config = check_overrides("audit", small(name, "model=dense"), multirun=False)
    subject = compose_subject(config)
    subject.target = subject.target[:1]
    assert subject.step(subject.images[:1]).isfinite()


@pytest.mark.parametrize("name", sorted(SMALLEST))
def test_images_that_are_too_small_are_refused_by_name(name: str) -> None:
    register_resolvers()
    smallest = SMALLEST[name][0]
    config = check_overrides("audit", small(name, "model=dense", size=smallest - 1), multirun=False)
    with pytest.raises(ConfigError, match=f"backbone={name} shrinks images of at least {smallest}"):
        compose_subject(config)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("wide_resnet backbone.depth=18", "6 n \\+ 4"),
        ("wide_resnet backbone.widen=0", "expected int >= 1"),
        ("resnet18 backbone.stem=big", "expected one of small"),
        ("se_resnet backbone.blocks=[1,2]", "one for each of 4 stages"),
    ],
)
def test_sizes_that_make_no_network_are_refused(typed: str, reason: str) -> None:
    register_resolvers()
    name, setting = typed.split()
    with pytest.raises(ConfigError, match=reason):
        compose_subject(check_overrides("audit", small(name, "model=dense", setting), False))


def test_squeeze_and_excitation_scales_whole_channels() -> None:
    torch.manual_seed(0)
    layer, maps = SqueezeExcitation(8, 4), torch.randn(3, 8, 5, 4)
    ratio = layer(maps) / maps
    torch.testing.assert_close(ratio, ratio[..., :1, :1].expand_as(ratio))
    hidden = functional.linear(maps.mean((2, 3)), layer.squeeze.weight, layer.squeeze.bias).relu()
    scale = functional.linear(hidden, layer.excite.weight, layer.excite.bias).sigmoid()
    torch.testing.assert_close(ratio[..., 0, 0], scale)


def test_a_block_whose_body_gives_zeros_passes_its_input() -> None:
    block, maps = SEBlock(4, 4, 2).eval(), torch.randn(2, 4, 5, 5)
    nn.init.zeros_(block.body[4].weight)
    torch.testing.assert_close(block(maps), maps.relu())


def test_blocks_are_counted_by_stage() -> None:
    network = SEResNet(COLOUR, [4, 4], 6, blocks=[1, 2, 3])
    assert sum(isinstance(module, SEBlock) for module in network.modules()) == 6


def correlated_images() -> torch.Tensor:
    torch.manual_seed(0)
    pixels = torch.randn(64, 3, 10, 10)
    smooth = functional.avg_pool2d(pixels, 3, 1, 1)
    smooth[:, 1] = smooth[:, 0] + 0.1 * smooth[:, 1]
    return smooth


def test_whitened_patches_are_uncorrelated_with_variance_one() -> None:
    layer, images = Whitening(3, floor=0.0), correlated_images()
    layer.train()(images)
    outputs = layer.eval()(images)[:, :12].transpose(0, 1).flatten(1)
    torch.testing.assert_close(outputs.cov(), torch.eye(12), atol=2e-3, rtol=0)
    torch.testing.assert_close(layer(images)[:, 12:], -layer(images)[:, :12])


def test_the_first_training_batch_alone_sets_the_filters() -> None:
    layer, images = Whitening(3), correlated_images()
    random = layer.filters.clone()
    layer.eval()(images)
    assert torch.equal(layer.filters, random)
    layer.train()(images)
    first = layer.filters.clone()
    assert not torch.equal(first, random)
    layer(images.flip(1))
    assert torch.equal(layer.filters, first)


def test_stored_filters_are_not_drawn_again() -> None:
    trained, images = Whitening(3), correlated_images()
    fresh = Whitening(3)
    before = copy.deepcopy(fresh.state_dict())
    trained.train()(images)
    fresh.load_state_dict(trained.state_dict())
    fresh.train()(images.flip(1))
    assert torch.equal(fresh.filters, trained.filters)
    fresh.load_state_dict(before)  # back to before any training: the next batch counts
    fresh.train()(images.flip(1))
    assert not torch.equal(fresh.filters, trained.filters)


def test_a_fresh_group_passes_on_what_it_gets() -> None:
    network = Airbench(COLOUR, [26], 28)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    maps = torch.randn(2, 24, 6, 6)
    torch.testing.assert_close(convolutions[0](maps)[:, :24], maps)


@pytest.mark.parametrize(("stride", "size"), [(1, (7, 10)), (2, (4, 5)), (3, (3, 4))])
def test_a_stem_gives_maps_of_the_size_it_says(stride: int, size: tuple[int, int]) -> None:
    stem = Stem((3, 7, 10), 4, stride=stride)
    assert stem.map_size == size
    assert stem(torch.zeros(2, 3, 7, 10)).shape == (2, 4, *size)
