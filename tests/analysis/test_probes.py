"""Probes: effects that are known beforehand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moe_lab.analysis import collect
from moe_lab.analysis.probes import (
    MOST_PAIRS,
    RouterProbes,
    as_json,
    effect_of,
    pairs_of,
    probe,
    probe_router,
)
from moe_lab.analysis.rerouting import KeptAnswers
from moe_lab.analysis.summary import probe_verdict
from moe_lab.experts import MLPExperts
from moe_lab.models import Mixture, Model
from moe_lab.models.combine import CombineLogits
from moe_lab.networks.backbones import Flatten
from moe_lab.routers import LinearGate, SoftmaxRouter, TopKRouter
from tests.analysis.known import IMAGES, TARGET, C, Constant, E, batches, constant_mixture


def probed(model: Model, *bounds: int) -> RouterProbes:
    (found,) = probe(model, batches(*bounds), C).values()
    return found


def test_knocking_out_an_expert_hands_its_images_to_their_second_choice() -> None:
    probes = probed(constant_mixture([0, 1, 2]), 4)
    assert probes.images.tolist() == [3, 2, 1]
    first, second, third = probes.knock_out
    assert first.accuracy_before == 1
    assert first.accuracy_after == pytest.approx(3 / 6)
    assert first.change_by_class == [-1, 0, 0]
    assert (first.changed_predictions, first.lost, first.gained) == (3, 3, 0)
    assert first.p_value == pytest.approx(2 / 2**3)
    assert second.change_by_class == [0, -1, 0]
    assert (third.accuracy_after, third.changed_predictions) == (pytest.approx(5 / 6), 1)


def test_dropping_the_top_expert_leaves_nobody_right_where_each_knows_one_class() -> None:
    effect = probed(constant_mixture([0, 1, 2])).drop_top
    assert effect.accuracy_after == 0
    assert effect.change == -1
    assert effect.changed_predictions == 6


def test_a_swap_answers_for_the_other_expert() -> None:
    probes = probed(constant_mixture([0, 1, 2]))
    assert set(probes.swap) == {(0, 1), (0, 2), (1, 2)}
    assert probes.swap[0, 1].change_by_class == [-1, -1, 0]
    assert probes.swap[1, 2].changed_predictions == 3
    # Experts that predict each other's class: the swap puts them right.
    wrong = probed(constant_mixture([1, 0, 2])).swap[0, 1]
    assert (wrong.accuracy_before, wrong.accuracy_after) == (pytest.approx(1 / 6), 1)
    assert (wrong.lost, wrong.gained) == (0, 5)


def test_frozen_routing_gives_all_images_the_same_answer() -> None:
    effect = probed(constant_mixture([0, 1, 2])).freeze
    # Top-1 keeps the probability: mean weights 2.1, 1.2 and 0.7 over 6, so everybody predicts 0.
    assert effect.accuracy_after == pytest.approx(3 / 6)
    assert effect.change_by_class == [0, -1, -1]


def test_shuffled_routing_keeps_how_often_each_answer_is_given() -> None:
    model = constant_mixture([0, 1, 2])
    subject = KeptAnswers(model, batches(2))
    seen: list[list[int]] = []

    class Watched:
        routings = staticmethod(subject.routings)

        def predict(self, change: Any) -> Tensor:
            answer = subject.predict(change)
            seen.append(answer.bincount(minlength=C).tolist())
            return answer

    found = probe_router(Watched(), TARGET.numpy(), C, repeats=400)
    shuffled = seen[1 + E + 3 : 1 + E + 3 + 400]
    assert all(counts == [3, 2, 1] for counts in shuffled)
    # An image meets a routing of its own class with probability (3/6)^2 + (2/6)^2 + (1/6)^2.
    mean = float(np.mean([effect.accuracy_after for effect in found.shuffle]))
    spread = float(np.std([effect.accuracy_after for effect in found.shuffle]))
    assert mean == pytest.approx(14 / 36, abs=4 * spread / 20)


def test_random_routings_follow_the_seed() -> None:
    model = constant_mixture([0, 1, 2])
    first, again, other = (probe(model, batches(), C, seed)["router"] for seed in (0, 0, 1))
    assert as_json(first) == as_json(again)
    assert [e.accuracy_after for e in first.shuffle] != [e.accuracy_after for e in other.shuffle]
    assert first.drop_top == other.drop_top


def test_an_unused_expert_is_not_missed_and_identical_experts_can_be_swapped() -> None:
    torch.manual_seed(0)
    gate = LinearGate(16, 4, init_std=1.0, bias=True)
    nn.init.constant_(gate.linear.bias[3:], -100)
    model = Mixture(
        Flatten((1, 4, 4), 16), TopKRouter(gate, 2), MLPExperts(4, 16, 8, 5), CombineLogits(), 4
    ).eval()
    assert isinstance(model.experts, MLPExperts)
    for parameter in model.experts.parameters():
        parameter.data[1] = parameter.data[0]
    images, target = torch.randn(64, 1, 4, 4), torch.randint(0, 5, (64,))
    probes = probe(model, [(images, target)], 5)["router"]
    assert probes.images[3] == 0 < probes.images[:3].min()
    assert (probes.knock_out[3].changed_predictions, probes.knock_out[3].p_value) == (0, 1)
    assert probes.swap[0, 1].changed_predictions == 0
    assert probes.swap[0, 2].changed_predictions > 0


def test_probing_agrees_with_the_records_and_leaves_the_mode_alone() -> None:
    model = constant_mixture([0, 2, 1]).train()

    class Holder:
        def __call__(self, images: Tensor, **asked: bool) -> Any:
            return self.model(images, **asked)

        model: Any

    holder: Any = Holder()
    holder.model = model
    accuracy = float(collect(holder, batches(), "abc").correct.mean())
    assert probed(model, 1, 3).freeze.accuracy_before == accuracy == pytest.approx(3 / 6)
    assert model.training
    assert model.router.training


def test_one_expert_knocked_out_leaves_the_undecided_answer() -> None:
    router = SoftmaxRouter(LinearGate(E, 1))
    model = Mixture(Flatten((1, 1, E), E), router, Constant([2]), CombineLogits(), 1)
    probes = probed(model.eval())
    # Six times class 2 against the uniform distribution, of which argmax takes class 0.
    assert probes.knock_out[0].accuracy_before == pytest.approx(1 / 6)
    assert probes.knock_out[0].accuracy_after == pytest.approx(3 / 6)
    assert probes.swap == {}


def test_compare_by_hand() -> None:
    target, before = np.array([0, 0, 0, 0, 2, 2]), np.array([0, 0, 0, 1, 2, 0])
    effect = effect_of(target, before, np.array([1, 0, 3, 0, 2, 2]), 4)
    assert (effect.lost, effect.gained, effect.changed_predictions) == (2, 2, 4)
    assert effect.accuracy_before == effect.accuracy_after == pytest.approx(4 / 6)
    by_class = effect.change_by_class
    assert by_class[0] == pytest.approx(-1 / 4)
    assert by_class[2] == pytest.approx(1 / 2)
    assert math.isnan(by_class[1])
    assert math.isnan(by_class[3])
    assert effect.p_value == 1


def test_many_experts_are_swapped_in_a_sample_of_pairs() -> None:
    assert len(pairs_of(8, 0)) == 28 == MOST_PAIRS
    many = pairs_of(20, 0)
    assert len(set(many)) == MOST_PAIRS
    assert all(a < b < 20 for a, b in many)
    assert many == pairs_of(20, 0) != pairs_of(20, 1)
    assert pairs_of(1, 0) == []


def test_the_verdict_names_experts_that_are_missed_and_a_router_that_does_not_matter() -> None:
    images, target = IMAGES.repeat(20, 1, 1, 1), TARGET.repeat(20)
    said = probe_verdict(probe(constant_mixture([0, 1, 2]), [(images, target)], C)["router"])
    assert said.startswith("Who is asked matters")
    assert "Experts that are missed: 0, 1, 2;" in said
    alike = probe_verdict(probe(constant_mixture([0, 0, 0]), [(images, target)], C)["router"])
    assert "makes no difference" in alike
    assert "no prediction moves: 0, 1, 2." in alike
