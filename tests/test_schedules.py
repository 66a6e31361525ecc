"""Learning-rate curves by hand."""

from __future__ import annotations

import pytest

from moe_lab.schedules import Constant, Exponential, Step, WarmupCosine


def test_warmup_rises_linearly_and_the_cosine_ends_at_its_final_share() -> None:
    schedule = WarmupCosine(warmup=0.2, final=0.1)
    curve = [schedule.at(step, 10, 101) for step in range(101)]
    assert curve[:3] == pytest.approx([1 / 21, 2 / 21, 3 / 21])
    assert curve[20] == pytest.approx(1.0)
    assert curve[21] == pytest.approx(1.0)
    assert curve[100] == pytest.approx(0.1)
    middle = 21 + 79 / 2  # halfway down: the mean of 1 and 0.1
    assert (schedule.at(60, 10, 101) + schedule.at(61, 10, 101)) / 2 == pytest.approx(
        0.55, abs=1e-3
    )
    assert middle == 60.5


def test_warmup_cosine_survives_one_step_and_overrun() -> None:
    assert WarmupCosine(warmup=0.0).at(0, 1, 1) == pytest.approx(1.0)
    assert WarmupCosine(warmup=0.0, final=0.2).at(50, 10, 20) == pytest.approx(0.2)


def test_step_and_exponential_change_at_epoch_ends() -> None:
    assert [Step(2, 0.1).at(step, 5, 100) for step in (0, 9, 10, 20)] == pytest.approx(
        [1, 1, 0.1, 0.01]
    )
    assert [Exponential(0.5).at(step, 5, 100) for step in (4, 5, 10)] == pytest.approx(
        [1, 0.5, 0.25]
    )
    assert Constant().at(77, 5, 100) == 1.0
