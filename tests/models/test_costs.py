"""Active parameters: those that an evaluation reads, counted by hand for models of each kind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moe_lab.experts import ExpertList
from moe_lab.models import Mixture
from moe_lab.models.combine import CombineLogits
from moe_lab.models.costs import params_active, params_total
from moe_lab.networks.backbones import Flatten
from moe_lab.routers import HashRouter, LinearGate, NoisyTopKRouter
from tests.training.vision import classifier_of, random_images

D, H, C = 3 * 16 * 16, 16, 10
EXPERT = D * H + H + H * C + C
GATE = D * 4
HALF = [1.0, 1.0, 0.0, 0.0]  # two of four experts on every image


@pytest.mark.parametrize(
    ("words", "active", "training_only"),
    [
        # The noise is as large as the gate, and nothing but training draws it.
        (("model=sparse",), GATE + 2 * EXPERT, GATE),
        (("model=sparse", "router=top_k"), GATE + 2 * EXPERT, 0),
        (("model=sparse", "router=hash"), 2 * EXPERT, 0),
        # One expert more answers every image, and none of it depends on the routing.
        (("model=sparse", "expert=shared", "expert.num_shared=1"), GATE + 3 * EXPERT, GATE),
        (("model=standard",), GATE + 4 * EXPERT, 0),
        (("model=dense", f"expert.hidden={H}"), EXPERT, 0),
    ],
)
def test_active_parameters_by_hand(words: tuple[str, ...], active: int, training_only: int) -> None:
    small = () if words[0] == "model=dense" else ("model.num_experts=4", f"expert.hidden={H}")
    model = classifier_of(*words, *small).model
    layers = model.routed_layers()
    shares = dict.fromkeys(layers, [1.0] * 4 if words == ("model=standard",) else HALF)
    assert params_active(model, shares, random_images()) == active
    every = dict.fromkeys(layers, [1.0] * 4)
    assert params_total(model) - params_active(model, every, random_images()) == training_only


def test_noise_that_is_switched_off_is_not_active_either() -> None:
    experts = ExpertList([nn.Linear(D, C) for _ in range(4)], C)
    router = NoisyTopKRouter(LinearGate(D, 4), D, top_k=1, noise_std=0.0)
    model = Mixture(Flatten((3, 16, 16), D), router, experts, CombineLogits(), 4)
    quarter = {"router": [0.25] * 4}
    assert params_active(model, quarter, random_images()) == GATE + D * C + C


def test_an_expert_that_these_images_miss_counts_by_its_share() -> None:
    experts = ExpertList([nn.Linear(D, C) for _ in range(4)], C)
    model = Mixture(Flatten((3, 16, 16), D), HashRouter(D, 4), experts, CombineLogits(), 4)
    used = (model.eval()(random_images(1)).routing.weights != 0)[0]
    assert int(used.sum()) == 1
    shares = {"router": torch.where(used, 0.7, 0.1).tolist()}
    assert params_active(model, shares, random_images(1)) == D * C + C


def test_counting_leaves_a_model_in_the_mode_it_was_in() -> None:
    model = classifier_of("model=sparse").model.train()
    params_active(model, {"router": [0.25] * 8}, random_images())
    assert model.training
