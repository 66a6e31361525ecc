"""Models: what a mixture must equal, and what it must not compute."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor, nn

from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertList, MLPExperts
from moe_lab.models import Mixture, Single
from moe_lab.models.combine import Combine, CombineLogits, CombineProbabilities
from moe_lab.networks.backbones import Conv, Flatten
from moe_lab.outputs import MixtureOutput
from moe_lab.routers import LinearGate, Router, SoftmaxRouter, TopKRouter

D, C = 16, 5
IMAGES = (1, 4, 4)


def mixture(router: Router, num_experts: int, combine: Combine | None = None) -> Mixture:
    experts = MLPExperts(num_experts, D, 8, C)
    return Mixture(Flatten(IMAGES, D), router, experts, combine or CombineLogits(), num_experts)


def make_identical(experts: MLPExperts) -> None:
    for parameter in experts.parameters():
        parameter.data[:] = parameter.data[:1].clone()


@pytest.mark.parametrize("combine", [CombineLogits(), CombineProbabilities()])
def test_identical_experts_are_one_expert(combine: Combine) -> None:
    torch.manual_seed(0)
    model = mixture(TopKRouter(LinearGate(D, 4), 2), 4, combine).eval()
    assert isinstance(model.experts, MLPExperts)
    make_identical(model.experts)
    images = torch.randn(7, *IMAGES)
    alone = model.experts(images.flatten(1), Plan.every(7, 4))[:7].log_softmax(-1)
    torch.testing.assert_close(model(images).log_probs, alone, atol=1e-6, rtol=1e-5)


def test_top_k_of_all_experts_equals_the_dense_mixture() -> None:
    torch.manual_seed(0)
    gate = LinearGate(D, 4)
    dense, sparse = mixture(SoftmaxRouter(gate), 4), mixture(TopKRouter(gate, 4), 4)
    sparse.load_state_dict(dense.state_dict())
    images = torch.randn(7, *IMAGES)
    torch.testing.assert_close(sparse(images).log_probs, dense(images).log_probs)


class Counting(nn.Module):
    """An expert that counts the images it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(D, C)
        self.seen = 0

    def forward(self, features: Tensor) -> Tensor:
        self.seen += len(features)
        out: Tensor = self.linear(features)
        return out


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_only_selected_experts_see_an_image(top_k: int) -> None:
    torch.manual_seed(0)
    experts = ExpertList([Counting() for _ in range(4)], C)
    router = TopKRouter(LinearGate(D, 4), top_k)
    model = Mixture(Flatten(IMAGES, D), router, experts, CombineLogits(), 4).eval()
    output = model(torch.randn(32, *IMAGES))
    seen = [expert.seen for expert in experts.experts]
    assert sum(seen) == 32 * top_k
    assert seen == (output.routing.weights != 0).sum(0).tolist()


def test_computing_every_expert_does_not_change_the_prediction() -> None:
    torch.manual_seed(0)
    model = mixture(TopKRouter(LinearGate(D, 4), 2), 4).eval()
    images = torch.randn(7, *IMAGES)
    plain, full = model(images), model(images, every_expert=True)
    torch.testing.assert_close(full.log_probs, plain.log_probs)
    assert isinstance(full, MixtureOutput)
    assert plain.expert_log_probs is None
    assert full.expert_log_probs is not None
    assert full.expert_log_probs.shape == (7, 4, C)
    chosen = full.routing.weights.argmax(-1)
    alone = ExpertsOf(model, images)
    torch.testing.assert_close(
        full.expert_log_probs[torch.arange(7), chosen], alone[chosen, torch.arange(7)]
    )


def ExpertsOf(model: Mixture, images: Tensor) -> Tensor:
    """Each expert on each image, one at a time, [E, B, C]."""
    answers = []
    for expert in range(4):
        weights = torch.zeros(len(images), 4)
        weights[:, expert] = 1
        answers.append(model.experts(images.flatten(1), Plan.from_weights(weights)))
    return torch.stack(answers).log_softmax(-1)


@pytest.mark.parametrize("model_class", [Mixture, Single])
def test_forward_takes_images_only(model_class: type) -> None:
    parameters = inspect.signature(model_class.forward).parameters
    assert list(parameters) == ["self", "images", "every_expert"]


def test_every_parameter_gets_a_gradient_in_training() -> None:
    torch.manual_seed(0)
    model = mixture(TopKRouter(LinearGate(D, 4), 1), 4).train()
    model(torch.randn(256, *IMAGES)).log_probs[:, 0].mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_single_is_its_expert() -> None:
    experts = MLPExperts(1, D, 8, C)
    images = torch.randn(3, *IMAGES)
    first, last = (layer for layer in experts.modules() if hasattr(layer, "weight"))
    hidden = (images.flatten(1) @ first.weight[0] + first.bias[0]).relu()
    expected = (hidden @ last.weight[0] + last.bias[0]).log_softmax(-1)
    found = Single(Flatten(IMAGES, D), experts)(images).log_probs
    torch.testing.assert_close(found, expected)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="the bank holds 3 experts"):
        Mixture(
            Flatten(IMAGES, D),
            SoftmaxRouter(LinearGate(D, 4)),
            MLPExperts(3, D, 8, C),
            CombineLogits(),
            4,
        )
    with pytest.raises(ValueError, match="the router selects from 3"):
        mixture(SoftmaxRouter(LinearGate(D, 3)), 4)
    with pytest.raises(ValueError, match=r"out_features must be 16 .* got 15"):
        Flatten(IMAGES, 15)
    with pytest.raises(ValueError, match=r"1\.\.2 blocks for 4x4"):
        Conv(IMAGES, [8, 8, 8], 10)


def test_conv_backbone_halves_the_image_in_each_block() -> None:
    backbone = Conv((3, 32, 32), [8, 16], 20)
    assert backbone(torch.randn(2, 3, 32, 32)).shape == (2, 20)
    linear = backbone.head[1]
    assert isinstance(linear, nn.Linear)
    assert linear.in_features == 16 * 8 * 8
