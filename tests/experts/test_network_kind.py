"""Backbones as experts and as gates: what each alone promises."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from moe_lab.config.check import CommandLineError, check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertBank, network_expert_list
from moe_lab.models import Mixture
from moe_lab.networks import Headed
from moe_lab.networks.backbones import Airbench, Conv, Patch, ResNet18, SEResNet, Stem, WideResNet
from moe_lab.routers import NetworkGate
from moe_lab.training.build import build

SHAPE = (3, 32, 32)
SMALL = ["dataset=synthetic", "dataset.size=[3,32,32]", "model.num_experts=2"]
BACKBONES = {
    "conv": partial(Conv, SHAPE, [2, 2, 2, 2, 2], 6),
    "se_resnet": partial(SEResNet, SHAPE, [2, 2, 2, 2], 4),
    "wide_resnet": partial(WideResNet, SHAPE, 64, 10, 1),
    "resnet18": partial(ResNet18, SHAPE, stem="imagenet"),
    "airbench": partial(Airbench, SHAPE, [2, 2], 4),
}


def bank_of(name: str, num_experts: int = 3) -> ExpertBank:
    torch.manual_seed(0)
    return network_expert_list(num_experts, 3072, SHAPE, 5, BACKBONES[name])


def statistics(bank: nn.Module) -> list[Tensor]:
    return [buffer.clone() for name, buffer in bank.named_buffers() if "running" in name]


def composed(*typed: str) -> Mixture:
    register_resolvers()
    model = build(check_overrides("train", [*SMALL, *typed], multirun=False).model)
    assert isinstance(model, Mixture)
    return model


@pytest.mark.parametrize("name", BACKBONES)
def test_an_expert_sees_one_image_or_none_in_training(name: str) -> None:
    bank = bank_of(name)
    before = statistics(bank.experts[0])
    plan = Plan.from_weights(torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))
    answers = bank(torch.randn(3, 3072), plan)  # one image, none and three
    answers.square().sum().backward()
    assert answers.shape == (4, 5)
    assert answers.isfinite().all()
    for ours, old in zip(statistics(bank.experts[0]), before, strict=True):
        assert torch.equal(ours, old)  # one image tells nothing about a batch
    assert not torch.equal(statistics(bank.experts[2])[0], before[0])
    norms = [layer for layer in bank.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all(norm.training for norm in norms)


def test_one_image_is_normalised_with_the_running_statistics() -> None:
    bank, images = bank_of("conv"), torch.randn(20, 3072)
    bank(images, Plan.every(20, 3)).sum().backward()  # they have moved
    alone = bank(images[:1], Plan.every(1, 3))
    torch.testing.assert_close(alone, bank.eval()(images[:1], Plan.every(1, 3)))
    frozen = bank.experts[1].backbone.eval()
    bank.experts[0].train()
    bank(images[:1], Plan.every(1, 3))
    assert not any(layer.training for layer in frozen.modules())  # as somebody had left it


def test_experts_are_backbone_and_head_on_the_pictures() -> None:
    bank, images = bank_of("conv").eval(), torch.randn(4, *SHAPE)
    answers = Plan.every(4, 3).dense(bank(images.flatten(1), Plan.every(4, 3)))
    for index, expert in enumerate(bank.experts):
        assert isinstance(expert, Headed)
        expected = expert.head[-1](expert.backbone(images))
        torch.testing.assert_close(answers[:, index], expected)
    own = [sum(p.numel() for p in bank.experts[0].backbone.parameters()) + 6 * 5 + 5] * 3
    assert bank.parameters_per_expert() == own


def test_hidden_layers_stand_between_backbone_and_output() -> None:
    net = Headed(Conv(SHAPE, 2, 6), SHAPE, 5, hidden=[7, 3]).eval()
    images = torch.randn(2, *SHAPE)
    first, second, last = (layer for layer in net.head if isinstance(layer, nn.Linear))
    expected = last(second(first(net.backbone(images)).relu()).relu())
    torch.testing.assert_close(net(images), expected)


@pytest.mark.parametrize(
    "backbone", [partial(Patch, SHAPE, 4, 8), partial(Stem, SHAPE, out_features=8)]
)
def test_tokens_and_maps_are_refused(backbone: partial[nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"one row of features.*gives (tokens|maps): use conv"):
        network_expert_list(2, 3072, SHAPE, 5, backbone)
    with pytest.raises(ValueError, match="gate needs one row of features"):
        NetworkGate(backbone(), SHAPE, 3072, 4)


def test_features_that_are_not_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="use backbone=flatten"):
        network_expert_list(2, 128, SHAPE, 5, BACKBONES["conv"])
    with pytest.raises(ValueError, match=r"gate=network reads images.*backbone=flatten"):
        NetworkGate(BACKBONES["conv"](), SHAPE, 128, 4)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_gate_scores_with_its_own_backbone_and_starts_untouched(name: str) -> None:
    torch.manual_seed(0)
    gate = NetworkGate(BACKBONES[name](), SHAPE, 3072, 4)
    fresh = BACKBONES[name]()
    for ours, theirs in zip(statistics(gate), statistics(fresh), strict=True):
        assert torch.equal(ours, theirs)
    if name == "airbench":
        assert not any(bool(b) for n, b in gate.named_buffers() if n.endswith("is_whitened"))
    scores = gate(torch.randn(6, 3072))
    scores.square().sum().backward()
    assert scores.shape == (6, 4)
    assert 0 < float(scores.detach().abs().mean()) < 1
    assert all(own.grad is not None for own in gate.parameters() if own.requires_grad)


def test_gate_and_experts_take_their_backbones_from_the_command_line() -> None:
    typed = ["expert=network", "backbone@expert.network=wide_resnet", "expert.network.depth=10"]
    typed += ["expert.network.widen=1", "gate=network", "backbone@gate.network=se_resnet"]
    typed += ["gate.network.channels=[2,2]", "gate.network.out_features=4", "expert.hidden=7"]
    model = composed(*typed)
    wide = WideResNet(SHAPE, 64, 10, 1)
    own = sum(p.numel() for p in wide.parameters()) + (64 * 7 + 7) + (7 * 10 + 10)
    assert model.experts.parameters_per_expert() == [own, own]
    first, second = (nn.utils.parameters_to_vector(e.parameters()) for e in model.experts.experts)
    assert not torch.equal(first, second)
    gate = model.router.gate
    assert isinstance(gate, NetworkGate)
    assert isinstance(gate.network.backbone, SEResNet)
    assert model(torch.randn(3, *SHAPE)).log_probs.shape == (3, 10)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("expert=network backbone@expert.network=resnet19", "did you mean resnet18?"),
        ("expert=network backbone@expert.netwrk=conv", "did you mean backbone@expert.network?"),
        ("backbone@expert.network=conv", "nothing in dataset=synthetic uses"),
        ("gate=network backbone@expert.network=conv", "did you mean backbone@gate.network?"),
        ("expert=network expert.network.chanels=4", "did you mean expert.network.channels?"),
        ("expert=network expert.network.channels=0", "expected int >= 1 or list"),
        ("expert=network backbone@expert.network=resnet18 expert.network.stem=big", "one of small"),
    ],
)
def test_a_wrong_backbone_inside_an_expert_is_named(typed: str, said: str) -> None:
    register_resolvers()
    with pytest.raises(CommandLineError, match=said.replace("?", r"\?")):
        check_overrides("train", [*SMALL, *typed.split()], multirun=False)


def test_backbones_inside_experts_sweep_and_keep_their_rules() -> None:
    register_resolvers()
    typed = [*SMALL, "expert=network", "backbone@expert.network=conv,resnet18"]
    check_overrides("train", typed, multirun=True)
    with pytest.raises(CommandLineError, match="expected int >= 1"):
        check_overrides("train", [*typed, "expert.network.channels=0"], multirun=True)
