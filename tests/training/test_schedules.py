"""Learning-rate curves by hand."""

from __future__ import annotations

import pytest
import torch

from moe_lab.training.schedules import (
    Constant,
    Exponential,
    OneCycle,
    Step,
    Triangular,
    WarmupCosine,
)


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


@pytest.mark.parametrize(("total", "rise"), [(100, 0.3), (7, 0.5), (41, 0.1)])
def test_one_cycle_is_that_of_torch(total: int, rise: float) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total, pct_start=rise, div_factor=25, final_div_factor=1e4,
        cycle_momentum=False,
    )  # fmt: skip
    curve = []
    for _ in range(total):
        curve += reference.get_last_lr()
        optimizer.step()
        if len(curve) < total:
            reference.step()
    ours = OneCycle(rise=rise)
    assert [ours.at(step, 10, total) for step in range(total)] == pytest.approx(curve)


def test_a_triangle_is_two_straight_lines() -> None:
    curve = Triangular(rise=0.25, initial=0.2, final=0.1)
    steps = [0, 5, 10, 25, 40]
    assert [curve.at(step, 10, 40) for step in steps] == pytest.approx([0.2, 0.6, 1.0, 0.55, 0.1])
    assert curve.at(45, 10, 40) == pytest.approx(0.1)
    falling = Triangular(rise=0.0)
    assert [falling.at(step, 1, 4) for step in range(5)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])


@pytest.mark.parametrize("rise", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("total", [1, 2, 3])
def test_cycles_survive_few_steps(rise: float, total: int) -> None:
    for schedule in (OneCycle(rise=rise), Triangular(rise=rise, initial=0.2)):
        curve = [schedule.at(step, 1, total) for step in range(total + 2)]
        assert all(0 <= share <= 1 for share in curve)
