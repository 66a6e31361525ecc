"""The collapse alarm: when it goes off, when it does not, and what it then does."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from moe_lab.errors import ConfigError
from moe_lab.training.callbacks import CollapseAlarm, collapse
from tests.training.callbacks.conftest import COLLAPSING, STEPS, Fit


def lines(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "health.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_it_goes_off_at_the_second_check_of_a_collapsed_run(
    seed: int, fit: Fit, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "moe_lab"):
        fitted = fit(*COLLAPSING, "callbacks.collapse.action=warn", seed=seed, zero_gate=True)
    raised = [line["step"] for line in lines(fitted.run_dir) if line["alarm"]]
    assert raised[0] == 20
    printed = [line for line in capsys.readouterr().out.splitlines() if "COLLAPSE" in line]
    assert len(printed) == 1  # once, however long it lasts
    assert "router collapsed by step 20: expert" in printed[0]
    assert "raise loss.terms.switch_balance.weight (now 0, try 0.05)" in printed[0]
    assert [record.message for record in caplog.records if "COLLAPSE" in record.message] == printed
    assert fitted.trainer.global_step == STEPS


@pytest.mark.slow
@pytest.mark.parametrize("router", [(), ("router=top_k", "router.top_k=1")])
def test_it_stays_silent_on_ten_balanced_runs(router: tuple[str, ...], fit: Fit) -> None:
    for seed in range(10):
        fitted = fit("model=sparse", *router, "trainer.max_epochs=1", seed=seed)
        found = lines(fitted.run_dir)
        assert [line["step"] for line in found] == [10, 20]
        assert [line["alarm"] for line in found] == [None, None]
        assert max(max(line["share"]) for line in found) < 0.5


def test_stop_ends_the_training_and_says_why(fit: Fit) -> None:
    fitted = fit(*COLLAPSING, "callbacks.collapse.action=stop", zero_gate=True)
    assert fitted.trainer.global_step == 20
    assert fitted.alarm.stop_reason is not None
    assert fitted.alarm.stop_reason.startswith("router collapsed by step 20: expert")
    # The weights it had are validated and kept, so that the run still has a summary.
    assert (fitted.run_dir / "checkpoints" / "best.ckpt").is_file()


class WatchRedraw(Callback):
    """Weights of the gate and of an expert, and the optimizer's memory of them, around step 20."""

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step in (19, 20):
            parts = dict(pl_module.model.named_parameters())  # type: ignore[operator, union-attr]
            state = trainer.optimizers[0].state
            seen = {name: (p.detach().clone(), len(state[p])) for name, p in parts.items()}
            self.before, self.after = (
                (seen, {}) if trainer.global_step == 19 else (self.before, seen)
            )


def test_reinit_draws_the_gate_again_and_clears_its_optimizer_state(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = WatchRedraw()
    fitted = fit(
        *COLLAPSING, "callbacks.collapse.action=reinit", zero_gate=True, extra=[watch]
    )  # fmt: skip
    gate, kept = "router.gate.linear.weight", "experts.first.weight"
    assert kept in watch.after, sorted(watch.after)
    assert watch.before[gate][1] > 0
    assert watch.after[gate][1] == 0
    assert watch.after[kept][1] == watch.before[kept][1] > 0
    # As conf/gate/linear.yaml says: a spread of 0.02; one step apart, experts hardly moved.
    assert watch.after[gate][0].std() == pytest.approx(0.02, rel=0.05)
    assert (watch.after[gate][0] - watch.before[gate][0]).abs().mean() > 0.01
    assert (watch.after[kept][0] - watch.before[kept][0]).abs().mean() < 0.01
    assert "its weights were drawn again" in capsys.readouterr().out
    alarms = {line["step"]: line["alarm"] for line in lines(fitted.run_dir)}
    assert alarms[20] is not None
    assert alarms[30] is None  # the new gate is judged from two checks of its own
    assert fitted.trainer.global_step == STEPS


def test_reinit_says_where_there_is_nothing_to_draw_again(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    action = "callbacks.collapse.action=reinit"
    fitted = fit(*COLLAPSING, action, "freeze=router", zero_gate=True)
    assert not fitted.router.gate.linear.weight.any()  # type: ignore[union-attr]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "COLLAPSE" in line]
    assert "it cannot be drawn again, as its router does not learn" in line
    assert "take it out of freeze" in line


def test_off_is_no_callback() -> None:
    assert collapse("off", 50) is None
    assert isinstance(collapse("stop", 50), CollapseAlarm)


def test_without_what_measures_for_it_the_alarm_is_refused(fit: Fit) -> None:
    with pytest.raises(ConfigError, match=r"callbacks\.health, which measures"):
        fit("~callbacks.health")
