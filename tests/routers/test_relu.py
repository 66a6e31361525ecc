"""ReLU routing: on or off, and an image for which no expert is on."""

from __future__ import annotations

import torch

from moe_lab.routers import ReLURouter
from tests.routers.fixed import ScoresGate, logs


def test_weights_are_the_positive_scores() -> None:
    routing = ReLURouter(ScoresGate(3))(torch.tensor([[2.0, -1.0, 0.5]]))
    assert routing.weights.tolist() == [[2.0, 0.0, 0.5]]
    torch.testing.assert_close(routing.probs, routing.logits.softmax(-1))


def test_an_image_without_any_expert_gets_its_first_choice() -> None:
    features = logs([0.5, 0.3, 0.2])  # all scores below 0
    assert ReLURouter(ScoresGate(3))(features).weights.tolist() == [[0.5, 0.0, 0.0]]


def test_zero_scores_count_as_off_and_still_choose_one() -> None:
    weights = ReLURouter(ScoresGate(4))(torch.zeros(3, 4)).weights
    assert (weights.sum(-1) == 0.25).all()
    assert ((weights != 0).sum(-1) == 1).all()


def test_an_image_without_any_expert_still_trains_the_gate() -> None:
    gate = ScoresGate(3)
    ReLURouter(gate)(logs([0.5, 0.3, 0.2])).weights.sum().backward()
    torch.testing.assert_close(gate.gradient(), torch.tensor([0.25, -0.15, -0.10]))


def test_scores_of_used_experts_have_the_gradient_one_and_the_others_none() -> None:
    gate = ScoresGate(3)
    ReLURouter(gate)(torch.tensor([[2.0, -1.0, 0.5]])).weights.sum().backward()
    assert gate.gradient().tolist() == [1.0, 0.0, 1.0]
