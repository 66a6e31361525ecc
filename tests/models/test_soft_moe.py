"""Soft MoE: averages within an image, and what it equals in the simplest cases."""

from __future__ import annotations

import pytest
import torch

from moe_lab.dispatch import Plan
from moe_lab.experts import MLPExperts
from moe_lab.models import Mixture, SoftMoE
from moe_lab.models.combine import CombineLogits
from moe_lab.networks.backbones import Flatten, Patch
from moe_lab.routers import LinearGate, SoftmaxRouter

IMAGES, D, C = (1, 4, 4), 6, 5


def soft(num_experts: int = 3, slots: int = 2) -> SoftMoE:
    torch.manual_seed(0)
    experts = MLPExperts(num_experts, D, 8, C)
    return SoftMoE(Patch(IMAGES, 2, D), experts, num_experts, slots).eval()


def test_patches_are_cut_in_reading_order() -> None:
    backbone = Patch((1, 4, 4), 2, 1)
    torch.nn.init.constant_(backbone.embed.weight, 1.0)
    torch.nn.init.zeros_(backbone.embed.bias)
    torch.nn.init.zeros_(backbone.positions)
    tokens = backbone(torch.arange(16.0).view(1, 1, 4, 4))
    assert tokens.flatten().tolist() == [10.0, 18.0, 42.0, 50.0]  # 0+1+4+5, 2+3+6+7, ...


def test_an_explicit_loop_over_slots_gives_the_same() -> None:
    model = soft()
    images = torch.randn(4, *IMAGES)
    tokens = model.backbone(images)
    keys = model.slot_vectors / model.slot_vectors.norm(dim=0)
    for image in range(4):
        rows = tokens[image]
        scores = (rows / rows.norm(dim=-1, keepdim=True)) @ keys * model.scale
        answers = []
        for slot in range(6):
            average = (scores[:, slot].softmax(0)[:, None] * rows).sum(0, keepdim=True)
            weights = torch.eye(3)[slot // 2][None]
            answers.append(model.experts(average, Plan.from_weights(weights))[0])
        per_token = scores.softmax(-1) @ torch.stack(answers)
        expected = per_token.mean(0).log_softmax(-1)
        torch.testing.assert_close(model(images).log_probs[image], expected, atol=1e-5, rtol=1e-5)


def test_one_expert_with_one_slot_processes_the_average() -> None:
    model = soft(num_experts=1, slots=1)
    output = model(torch.randn(3, *IMAGES))
    torch.testing.assert_close(output.routing.weights, torch.ones(3, 1))
    torch.testing.assert_close(output.expert_log_probs[:, 0], output.log_probs)


def test_an_image_does_not_depend_on_its_batch_mates() -> None:
    model, images = soft(), torch.randn(5, *IMAGES)
    alone = torch.cat([model(image[None]).log_probs for image in images])
    torch.testing.assert_close(model(images).log_probs, alone, atol=1e-5, rtol=1e-5)


def test_shares_of_the_prediction_sum_to_one_and_every_expert_learns() -> None:
    model = soft().train()
    output = model(torch.randn(5, *IMAGES))
    torch.testing.assert_close(output.routing.weights.sum(-1), torch.ones(5))
    output.log_probs[:, 0].sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_tokens_and_rows_are_not_mixed_up() -> None:
    experts = MLPExperts(2, 16, 8, C)
    with pytest.raises(ValueError, match="use backbone=patch"):
        SoftMoE(Flatten(IMAGES, 16), experts, 2)
    with pytest.raises(ValueError, match="use model=soft_moe"):
        Mixture(Patch(IMAGES, 2, 16), SoftmaxRouter(LinearGate(16, 2)), experts, CombineLogits(), 2)
    with pytest.raises(ValueError, match="patch_size must divide the image's 4x4, got 3"):
        Patch(IMAGES, 3, 8)
