"""What passes change, counted by hand."""

from __future__ import annotations

import pytest
import torch

from moe_lab.metrics.passes import PassStatistics, StepStatistics
from moe_lab.outputs import IterativeOutput


def log_probs(answers: list[list[int]], confidence: float = 0.8) -> torch.Tensor:
    """[T, B] answers -> [T, B, 3] that give each of them this confidence."""
    probs = torch.full((len(answers), len(answers[0]), 3), (1 - confidence) / 2)
    return probs.scatter(-1, torch.tensor(answers)[..., None], confidence).log()


def output(answers: list[list[int]], norm: torch.Tensor | None = None) -> IterativeOutput:
    passes = log_probs(answers)
    return IterativeOutput(passes[-1], passes, modulation_norm=norm)


def test_accuracy_repairs_and_breaks_of_a_worked_example() -> None:
    target = torch.tensor([0, 1, 2, 0])
    metric = PassStatistics(3)
    # right in pass 1: images 1, 4; in pass 2: 1, 2, 3; in pass 3: 1, 2
    norm = torch.tensor([[0.0] * 4, [1.0, 2.0, 3.0, 4.0], [0.5] * 4])
    metric.update(output([[0, 0, 1, 0], [0, 1, 2, 1], [0, 1, 1, 2]], norm), target)
    found = metric.compute()
    assert [found[f"pass_{t}_accuracy"] for t in (1, 2, 3)] == [0.5, 0.75, 0.5]
    assert (found["pass_2_repaired"], found["pass_2_broken"]) == (0.5, 0.25)
    assert (found["pass_3_repaired"], found["pass_3_broken"]) == (0.0, 0.25)
    assert (found["pass_2_agreement"], found["pass_3_agreement"]) == (0.25, 0.5)
    assert found["pass_agreement"] == pytest.approx(0.375)
    assert [found[f"pass_{t}_modulation_norm"] for t in (1, 2, 3)] == [0.0, 2.5, 0.5]
    assert found["pass_1_confidence"] == pytest.approx(0.8)
    assert "pass_1_repaired" not in found
    assert metric.tables()["passes"]["broken"] == [0.0, 0.25, 0.25]


def test_repairs_less_breaks_are_the_gain_in_accuracy() -> None:
    torch.manual_seed(0)
    passes = torch.randn(5, 400, 7).log_softmax(-1)
    metric = PassStatistics(5)
    metric.update(IterativeOutput(passes[-1], passes), torch.randint(0, 7, (400,)))
    found = metric.compute()
    for t in range(2, 6):
        gain = found[f"pass_{t}_accuracy"] - found[f"pass_{t - 1}_accuracy"]
        assert found[f"pass_{t}_repaired"] - found[f"pass_{t}_broken"] == pytest.approx(gain)
    assert "pass_1_modulation_norm" not in found


def test_a_single_pass_has_nothing_to_agree_with() -> None:
    metric = PassStatistics(1)
    metric.update(output([[0]]), torch.tensor([0]))
    assert metric.compute() == {
        "pass_1_accuracy": 1.0,
        "pass_1_confidence": pytest.approx(0.8),
    }


def test_mean_steps_weigh_images_not_batches() -> None:
    metric = StepStatistics()
    metric.update(torch.tensor([1.0, 2.0, 3.0]))
    metric.update(torch.tensor([6]))
    assert metric.compute() == {"mean_steps": 3.0}
