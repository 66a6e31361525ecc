"""Forward times: what is measured, and that a busy machine is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from torch import Tensor

from moe_lab.sweeps.studies import forward_time
from moe_lab.sweeps.studies.forward_time import (
    ForwardTime,
    ForwardTimes,
    difference_of_halves,
    measure,
)

Clock = Callable[[], float]


class Work:
    """A model that takes the given seconds in turn on a clock of its own making."""

    now = 0.0

    def __init__(self, seconds: Iterator[float]) -> None:
        self.seconds = seconds
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor) -> None:
        self.sizes.append(tuple(images.shape))
        Work.now += next(self.seconds)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Work, "now", 0.0)
    monkeypatch.setattr(forward_time.time, "perf_counter", lambda: Work.now)
    monkeypatch.setattr(forward_time, "ROUNDS", {1: 4, 128: 2})
    monkeypatch.setattr(forward_time, "WARM_UP_ROUNDS", 1)


def test_each_batch_size_has_its_minimum_and_median_without_the_warm_up() -> None:
    one = Work(iter([99.0, 2.0, 5.0, 3.0, 4.0, 99.0, 10.0, 11.0]))
    other = Work(iter([99.0, 1.0, 1.0, 1.0, 1.0, 99.0, 2.0, 2.0]))
    found = measure({"one": one, "other": other}, [1, 2, 2])
    assert found.rows["one"] == {1: ForwardTime(2.0, 3.5), 128: ForwardTime(10.0, 10.5)}
    assert found.rows["other"] == {1: ForwardTime(1.0, 1.0), 128: ForwardTime(2.0, 2.0)}
    assert one.sizes == [(1, 1, 2, 2)] * 5 + [(128, 1, 2, 2)] * 3
    # (2 + 5) / 2 against (3 + 4) / 2 in the passes of one image, 10 against 11 in those of 128.
    assert found.disagreement == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("times", "expected"),
    [([1.0, 1.0, 1.0, 1.0], 0.0), ([2.0, 2.0, 3.0, 3.0], 0.5), ([3.0, 3.0, 2.0, 2.0], 0.5)],
)
def test_halves_differ_by_the_ratio_of_their_medians(times: list[float], expected: float) -> None:
    assert difference_of_halves(times) == pytest.approx(expected)


def test_a_machine_that_gets_busy_half_way_is_not_quiet() -> None:
    assert not ForwardTimes({}, 0.11).quiet
    assert ForwardTimes({}, 0.09).quiet
    busy = Work(iter([1.0, 1.0, 1.0, 1.2, 1.2, 1.0, 1.0, 1.0]))
    assert not measure({"one": busy}, [1]).quiet


def test_a_busy_measurement_is_repeated_until_one_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    disagreements = iter([0.5, 0.02, 0.0])
    monkeypatch.setattr(
        forward_time, "measure", lambda models, shape: ForwardTimes({}, next(disagreements))
    )
    assert forward_time.forward_times({}, [1]).disagreement == 0.02
    disagreements = iter([0.5, 0.4, 0.3, 0.0])
    assert forward_time.forward_times({}, [1]).disagreement == 0.3  # three times, and no more
