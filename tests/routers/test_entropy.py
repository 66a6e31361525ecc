"""No gate: entropies by hand, and which experts are used."""

from __future__ import annotations

import math

import pytest
import torch

from moe_lab.routers import EntropyRouter

# Two classes: no idea, three to one, sure.
ANSWERS = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0], [60.0, 0.0]]])
ENTROPIES = torch.tensor([[math.log(2), math.log(4) - 0.75 * math.log(3), 0.0]])


def test_weights_are_a_softmin_of_the_entropies() -> None:
    routing = EntropyRouter(3, temperature=0.5)(torch.zeros(1, 1), ANSWERS)
    torch.testing.assert_close(routing.logits, -ENTROPIES)
    torch.testing.assert_close(routing.weights, (-2 * ENTROPIES).softmax(-1))


def test_the_most_confident_expert_is_used_alone() -> None:
    routing = EntropyRouter(3, mode="top_1")(torch.zeros(1, 1), ANSWERS)
    assert routing.weights.tolist() == [[0.0, 0.0, 1.0]]
    torch.testing.assert_close(routing.probs, (-ENTROPIES).softmax(-1))


def test_a_fixed_temperature_leaves_nothing_to_learn() -> None:
    assert list(EntropyRouter(3).parameters()) == []


def test_experts_learn_to_be_sure_by_expectation_only() -> None:
    answers = ANSWERS.clone().requires_grad_()
    EntropyRouter(3)(torch.zeros(1, 1), answers).weights[0, 1].backward()
    assert answers.grad is not None
    assert answers.grad[0, 1, 0] > 0
    assert not EntropyRouter(3, "top_1")(torch.zeros(1, 1), answers).weights.requires_grad


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(ValueError, match="mode must be expectation or top_1, got 'argmax'"):
        EntropyRouter(3, "argmax")  # type: ignore[arg-type]
