"""Adaptive depth: the weights of the steps, which images are computed, and the limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from moe_lab.experts import MLPExperts
from moe_lab.models import AdaptiveDepth, Mixture
from moe_lab.models.combine import CombineLogits
from moe_lab.networks.backbones import Flatten
from moe_lab.routers import LinearGate, TopKRouter

D, C, E = 16, 5, 4
IMAGES = (1, 4, 4)


def adaptive(max_steps: int = 4, halt_bias: float = 0.0) -> AdaptiveDepth:
    torch.manual_seed(0)
    model = AdaptiveDepth(
        Flatten(IMAGES, D), TopKRouter(LinearGate(D, E), 2), MLPExperts(E, D, 8, C),
        CombineLogits(), E, C, max_steps,
    )  # fmt: skip
    nn.init.constant_(model.halt.bias, halt_bias)
    return model.eval()


@pytest.mark.parametrize("max_steps", [1, 2, 5])
def test_the_weights_of_an_image_sum_to_one(max_steps: int) -> None:
    model = adaptive(max_steps)
    nn.init.normal_(model.halt.weight)
    output = model(torch.randn(20, *IMAGES))
    torch.testing.assert_close(output.halting.sum(0), torch.ones(20))
    assert output.halting.shape == (max_steps, 20)
    torch.testing.assert_close(output.log_probs.exp().sum(-1), torch.ones(20))
    torch.testing.assert_close(output.routing.probs.sum(-1), torch.ones(20))


def test_a_halting_probability_of_a_half_gives_halves_quarters_and_the_remainder() -> None:
    output = adaptive(max_steps=3)(torch.randn(2, *IMAGES))
    assert output.halting[:, 0].tolist() == pytest.approx([0.5, 0.5, 0.0])
    # 0.5 + 0.5 leaves nothing: two steps, of which the last spends a remainder of 0.5
    assert output.steps.tolist() == pytest.approx([2.5, 2.5])


def test_small_halting_probabilities_use_every_step_and_large_ones_a_single_step() -> None:
    slow = adaptive(max_steps=3, halt_bias=-math.log(9))(torch.randn(2, *IMAGES))  # sigmoid = 0.1
    assert slow.halting[:, 0].tolist() == pytest.approx([0.1, 0.1, 0.8])
    assert slow.steps[0].item() == pytest.approx(3.8)
    images = torch.randn(6, *IMAGES)
    quick = adaptive(max_steps=3, halt_bias=20.0)
    assert quick(images).halting[:, 0].tolist() == pytest.approx([1.0, 0.0, 0.0])
    once = quick.mixture(images).log_probs
    torch.testing.assert_close(quick(images).log_probs, once, atol=1e-5, rtol=1e-5)


def test_halted_images_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adaptive(max_steps=4)
    with torch.no_grad():
        model.halt.weight[0, 0] = 50.0  # the first pixel decides: halts at once or never
    images = torch.zeros(10, *IMAGES)
    images[:7, 0, 0, 0], images[7:, 0, 0, 0] = 1.0, -1.0
    rows = []
    original = Mixture.route_and_combine

    def counted(self: Mixture, features: torch.Tensor, every_expert: bool = False) -> object:
        rows.append(len(features))
        return original(self, features, every_expert)

    monkeypatch.setattr(Mixture, "route_and_combine", counted)
    model.feed_back.weight.data.zero_()
    model(images)
    assert rows == [10, 3, 3, 3]


def test_an_image_does_not_depend_on_its_batch_mates() -> None:
    model = adaptive()
    nn.init.normal_(model.halt.weight)
    images = torch.randn(12, *IMAGES)
    whole = model(images)
    alone = torch.cat([model(image[None]).log_probs for image in images])
    torch.testing.assert_close(whole.log_probs, alone, atol=1e-5, rtol=1e-5)


def test_the_halting_unit_learns_from_the_prediction_and_from_the_ponder_cost() -> None:
    model = adaptive(max_steps=3, halt_bias=-1.0).train()
    output = model(torch.randn(12, *IMAGES))
    answer = torch.autograd.grad(output.log_probs[:, 0].sum(), model.halt.bias, retain_graph=True)
    ponder = torch.autograd.grad(output.steps.mean(), model.halt.bias)
    assert answer[0].abs().item() > 1e-4
    # remainder 1 - 2 halt: d/db = -2 s (1 - s), so more halting means less pondering
    s = 1 / (1 + math.e)
    assert ponder[0].item() == pytest.approx(-2 * s * (1 - s), rel=1e-4)


def test_fewer_than_one_step_is_refused() -> None:
    with pytest.raises(ValueError, match="max_steps must be at least 1, got 0"):
        adaptive(max_steps=0)
