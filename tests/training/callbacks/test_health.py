"""The health monitor in a training run: its file, its panel, and models without a router."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from scipy import stats

from moe_lab.training.callbacks import HealthMonitor, LiveBar, ProgressLines, progress
from tests.training.callbacks.conftest import COLLAPSING, SHORT, STEPS, Fit

KEYS = {
    "step", "layer", "window", "share", "used_share", "entropy", "max_entropy", "dead", "idle",
    "advice", "alarm",
}  # fmt: skip


class Keep(Callback):
    """Everything that training steps hand over."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.weights.append(outputs["weights"]["router"].clone())


def test_every_check_is_a_line_with_the_numbers_of_its_window(fit: Fit) -> None:
    keep = Keep()
    fitted = fit("model=sparse", "callbacks.health.window=25", extra=[keep])
    lines = [json.loads(line) for line in (fitted.run_dir / "health.jsonl").open()]
    assert [line["step"] for line in lines] == list(range(10, STEPS, 10))
    assert [line["window"] for line in lines] == [10, 20, 25, 25, 25]
    assert all(line.keys() == KEYS and line["layer"] == "router" for line in lines)
    weights = torch.cat(keep.weights[15:40]).double()
    share = (weights / weights.sum(-1, keepdim=True)).mean(0).numpy()
    np.testing.assert_allclose(lines[3]["share"], share, atol=1e-5)
    np.testing.assert_allclose(lines[3]["used_share"], (weights != 0).double().mean(0), atol=1e-5)
    assert lines[3]["entropy"] == pytest.approx(stats.entropy(share, base=2), abs=1e-4)
    assert lines[3]["max_entropy"] == 3


def test_collapse_is_in_the_file_with_advice(fit: Fit) -> None:
    fitted = fit(*COLLAPSING, zero_gate=True)
    last = json.loads((fitted.run_dir / "health.jsonl").read_text().splitlines()[-1])
    assert last["alarm"].startswith("expert ")
    assert max(last["share"]) > 0.9
    assert len(last["dead"]) >= 5
    assert any("loss.terms.switch_balance.weight" in advice for advice in last["advice"])


def test_looks_and_checks_keep_their_own_time(fit: Fit) -> None:
    fitted = fit(*COLLAPSING, "callbacks.health.every=7", "callbacks.collapse.every=20",
                 "callbacks.health.window=5", zero_gate=True)  # fmt: skip
    lines = [json.loads(line) for line in (fitted.run_dir / "health.jsonl").open()]
    assert [line["step"] for line in lines] == [7, 14, 20, 21, 28, 35, 40, 42, 49, 56]
    assert [line["alarm"] is not None for line in lines] == [False] * 6 + [True] * 4


def test_a_model_without_a_router_has_no_health(fit: Fit, capsys: pytest.CaptureFixture) -> None:
    fitted = fit("model=dense")
    assert not (fitted.run_dir / "health.jsonl").exists()
    assert fitted.trainer.global_step == STEPS
    assert "COLLAPSE" not in capsys.readouterr().out


def test_minimal_callbacks_measure_nothing(fit: Fit) -> None:
    fitted = fit("callbacks=minimal", short=(*SHORT[:4], "callbacks.progress.style=none"))
    assert not any(isinstance(callback, HealthMonitor) for callback in fitted.callbacks)
    assert not (fitted.run_dir / "health.jsonl").exists()
    assert (fitted.run_dir / "checkpoints" / "best.ckpt").is_file()


@pytest.fixture
def screen() -> io.StringIO:
    """What a terminal of 100 columns and 40 lines is sent."""
    return io.StringIO()


def bar_on(screen: io.StringIO) -> LiveBar:
    return LiveBar(Console(file=screen, force_terminal=True, width=100, height=40))


class RefreshNow(Callback):
    """Draws the bar after every batch, however fast they are."""

    def __init__(self, bar: LiveBar, screen: io.StringIO) -> None:
        self.bar, self.screen = bar, screen

    def on_train_batch_end(self, *arguments: Any, **named: Any) -> None:
        self.bar.console.print(self.bar.render())


def test_the_panel_stands_below_the_bar_and_goes_with_it(fit: Fit, screen: io.StringIO) -> None:
    bar = bar_on(screen)
    fitted = fit("model=sparse", extra=[bar, RefreshNow(bar, screen)])
    text = screen.getvalue()
    assert text.index("epoch 1/2") < text.index("router health, step 10: share of weight, last 10")
    assert text.index("router health, step 10") < text.index("epoch 2/2")
    assert bar.below is None
    screen.truncate(0)
    fitted.trainer.validate(fitted.classifier, fitted.trainer.datamodule, verbose=False)
    assert "validation" in screen.getvalue()
    assert "router health" not in screen.getvalue()


def test_a_dense_model_has_a_bar_and_no_panel(fit: Fit, screen: io.StringIO) -> None:
    bar = bar_on(screen)
    fit("model=dense", extra=[bar, RefreshNow(bar, screen)])
    assert "epoch 2/2" in screen.getvalue()
    assert "router health" not in screen.getvalue()


@pytest.mark.parametrize(("style", "bars"), [("bar", 1), ("lines", 0), ("none", 0), ("auto", 0)])
def test_only_the_bar_has_a_place_for_the_panel(style: str, bars: int) -> None:
    built = progress(style)
    assert sum(isinstance(callback, LiveBar) for callback in built) == bars
    assert isinstance(built[-1], ProgressLines)
