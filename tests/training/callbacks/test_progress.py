"""The rows after every epoch and the line that moves: what they say, and that they fit."""

from __future__ import annotations

import io
import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from moe_lab.training.callbacks import LiveBar, ProgressLines
from moe_lab.training.callbacks import live_bar as live_bar_module
from moe_lab.training.pace import Pace, clock_time

METRICS = {
    "train_epoch_loss": 2.08931, "train_accuracy": 0.48154, "val_loss": 1.186,
    "val_accuracy": 0.98333, "val_load_cv": 0.07449, "train_switch_balance": 1.01,
}  # fmt: skip


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def trainer_in(epoch: int, of: int = 200, batches: int = 3907, **metrics: float) -> Any:
    """A trainer in an epoch counted from 0, as Lightning does."""
    return SimpleNamespace(
        current_epoch=epoch,
        max_epochs=of,
        num_training_batches=batches,
        callback_metrics={name: torch.tensor(value) for name, value in metrics.items()},
        is_global_zero=True,
        state=SimpleNamespace(fn="fit"),
        num_val_batches=[10],
    )


def test_time_left_follows_from_the_batches_after_the_first() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.seconds_until(20) is None
    clock.now = 160.0  # a minute of compiling
    pace.count(1)
    assert pace.seconds_until(20) is None
    clock.now = 164.0
    pace.count(3)  # two batches in four seconds
    assert pace.seconds_until(20) == pytest.approx(17 * 2.0)
    clock.now = 170.0  # six seconds of validation slow it down to five seconds per batch
    assert pace.seconds_until(20) == pytest.approx(17 * 5.0)


def test_a_resumed_run_is_as_fast_as_since_it_went_on() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.count(501)
    clock.now += 10
    pace.count(511)
    assert pace.seconds_until(1011) == pytest.approx(500)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "-"), (0.2, "0:00"), (59.6, "1:00"), (3753, "1:02:33")]
)
def test_seconds_are_spelled_as_on_a_clock(seconds: float | None, shown: str) -> None:
    assert clock_time(seconds) == shown


def test_rows_fit_80_columns_and_count_epochs_from_1(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ProgressLines()
    lines.pace = Pace(clock := Clock())
    lines.pace.count(0)
    for epoch in (98, 99):
        clock.now += 7200
        trainer = trainer_in(epoch, **METRICS)
        lines.on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
        lines.on_train_batch_end(trainer, None, None, None, 3906)  # type: ignore[arg-type]
        lines.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    heading, first, second = capsys.readouterr().out.splitlines()
    assert max(map(len, (heading, first, second))) <= 80
    wanted = "epoch train loss train acc val loss val acc load CV time left"
    assert " ".join(heading.split()) == wanted
    # 99 epochs in 2 h, so 101 take 2:02:25; 100 in 4 h leave as much again.
    assert " ".join(first.split()) == "99/200 2.0893 48.15 % 1.1860 98.33 % 0.074 0.0 s 2:02:25"
    assert second.split()[0] == "100/200"
    assert second.split()[-1] == "4:00:00"


def test_a_metric_that_comes_later_gets_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ProgressLines()
    lines.on_train_epoch_end(trainer_in(0, train_accuracy=0.5), None)  # type: ignore[arg-type]
    lines.on_train_epoch_end(trainer_in(1, **METRICS), None)  # type: ignore[arg-type]
    headings = [line for line in capsys.readouterr().out.splitlines() if "epoch" in line]
    assert ["val loss" in line for line in headings] == [False, True]


def test_the_log_has_every_metric_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "moe_lab"):
        lines = ProgressLines(on_screen=False)
        lines.on_train_epoch_end(trainer_in(1, of=3, **METRICS), None)  # type: ignore[arg-type]
    assert caplog.messages[0].startswith(
        "epoch 2/3  train_epoch_loss 2.0893  train_accuracy 0.4815"
    )


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_bar_is_one_line_at_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_bar_module, "SECONDS_BETWEEN_LOOKS", 0.0)
    screen = io.StringIO()
    bar = LiveBar(Console(file=screen, width=width, color_system=None))
    bar.pace = Pace(clock := Clock())
    trainer = trainer_in(99)
    module: Any = SimpleNamespace(train_sums=torch.tensor([250.0, 90.0, 1000.0]))
    bar.on_train_start(trainer, module)
    for batch in range(411):
        clock.now += 1.0
        bar.on_train_batch_end(trainer, module, None, None, batch)
    shown = Console(file=io.StringIO(), width=width, color_system=None)
    with shown.capture() as captured:
        shown.print(bar.render())
    bar.on_train_end(trainer, module)
    line = captured.get().rstrip("\n")
    assert "\n" not in line
    assert len(line) <= width
    if width >= 80:
        # 3,496 batches of one second are left of the epoch, and 100 epochs of 3,907 beyond.
        assert "epoch 100/200" in line
        assert "411/3907 loss 0.2500 left 58:16, run 109:29:56" in line
        assert line.index("411/") - len("epoch 100/200") > 15  # room for the bar itself
