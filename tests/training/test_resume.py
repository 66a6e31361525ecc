"""Going on after a kill: the same result, to the last bit, as without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer

Train = Callable[..., tuple[int, Path]]
ReadJSON = Callable[[Path], dict[str, Any]]
Summaries = Callable[[Path], dict[str, dict[str, Any]]]
# Everything that draws random numbers or remembers: dropout, router noise, shifts, alarms.
NOISY = (
    "router=noisy_top_k", "expert.dropout=0.2", "dataset.augment.shift=2", "trainer.max_epochs=4",
    "dataset.batch_size=32", "callbacks.health.every=4", "callbacks.collapse.every=4",
    "trainer.log_every_n_steps=3", "scheduler=plateau",
)  # fmt: skip
TIMINGS = ("train_seconds", "images_per_second")

NOT_SAME = (*TIMINGS, "run_dir", "run_name")


class Killed(BaseException):
    """Ends a job as a kill does: nothing is cleaned up or written down."""


def kill_after(monkeypatch: pytest.MonkeyPatch, epochs: int, batch: int = 3) -> None:
    """Raise Killed in a training step, once."""
    from moe_lab.training.callbacks import Stopwatch

    original = Stopwatch.on_train_batch_end
    armed = [True]

    def on_train_batch_end(
        self: Stopwatch, trainer: Trainer, module: LightningModule, *rest: Any
    ) -> None:
        original(self, trainer, module, *rest)
        if armed and trainer.current_epoch == epochs and rest[-1] == batch:
            armed.clear()
            raise Killed

    monkeypatch.setattr(Stopwatch, "on_train_batch_end", on_train_batch_end)


def lines_of(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMINGS} for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_killed_job_resumed_equals_an_uninterrupted_one(
    epochs: int, train: Train, summaries: Summaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = train("-m", "seed=0,1", *NOISY)
    killed = whole.parent / "killed"
    with monkeypatch.context() as patch:
        kill_after(patch, epochs)
        with pytest.raises(Killed):
            train("-m", "seed=0,1", *NOISY, "run_dir=killed")
    assert not list(killed.glob("*/summary.json"))
    code, _ = train("-m", "seed=0,1", *NOISY, "run_dir=killed")
    assert code == 0
    assert summaries(killed) == summaries(whole)
    for folder in summaries(whole):
        for name in ("metrics.jsonl", "health.jsonl"):
            assert lines_of(killed / folder / name) == lines_of(whole / folder / name)
        states = [
            torch.load(sweep / folder / "checkpoints" / "last.ckpt", weights_only=True)
            for sweep in (whole, killed)
        ]
        for name, tensor in states[0]["state_dict"].items():
            assert torch.equal(tensor, states[1]["state_dict"][name]), name
    assert "going on from" in (killed / folder_of(killed, 0) / "train.log").read_text()


def test_a_run_killed_in_its_test_after_stopping_early_trains_no_further(
    train: Train, summaries: Summaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = ("callbacks.early_stopping.patience=1", "optimizer.lr=1e-9", "trainer.max_epochs=9",
             "callbacks.early_stopping.min_delta=0.1", "seed=0")  # fmt: skip

    def killed(*arguments: Any) -> None:
        raise Killed

    _, whole = train("-m", *early)
    with monkeypatch.context() as patch:
        patch.setattr("moe_lab.training.run.TrainingRun.summarise", killed)
        with pytest.raises(Killed):
            train("-m", *early, "run_dir=killed")
    assert train("-m", *early, "run_dir=killed")[0] == 0
    found = summaries(whole.parent / "killed")
    assert found == summaries(whole)
    stopped = "val_loss did not improve in 1 validation"
    assert [(s["epochs"], s["stopped"]) for s in found.values()] == [(2, stopped)]


@pytest.mark.slow
def test_with_half_a_checkpoint_the_one_before_it_is_taken(
    train: Train, summaries: Summaries, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _, whole = train("-m", "seed=0", *NOISY)
    killed = whole.parent / "killed"
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            train("-m", "seed=0", *NOISY, "run_dir=killed")
    last = killed / folder_of(killed, 0) / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    capsys.readouterr()
    assert train("-m", "seed=0", *NOISY, "run_dir=killed")[0] == 0
    said = capsys.readouterr().out
    assert "last.ckpt is damaged" in said
    assert "last.previous.ckpt" in said
    assert summaries(killed) == summaries(whole)
    folder = folder_of(whole, 0)
    assert lines_of(killed / folder / "metrics.jsonl") == lines_of(whole / folder / "metrics.jsonl")


def test_resume_goes_on_with_a_single_run_and_refuses_another_configuration(
    train: Train, read_json: ReadJSON, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _, whole = train(*NOISY)
    killed = whole.parent / "killed"
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            train(*NOISY, "run_dir=killed")
    assert train(*NOISY, "run_dir=killed")[0] == 2
    assert "resume=true" in capsys.readouterr().err
    assert train(*NOISY, "run_dir=killed", "resume=true", "optimizer.lr=0.5")[0] == 2
    assert "-> 0.5" in capsys.readouterr().err
    assert train(*NOISY, "run_dir=killed", "resume=true")[0] == 0
    first, second = read_json(whole / "summary.json"), read_json(killed / "summary.json")
    assert {k: first[k] for k in first if k not in NOT_SAME} == {
        k: second[k] for k in second if k not in NOT_SAME
    }
    before = (killed / "summary.json").stat().st_mtime_ns
    assert train(*NOISY, "run_dir=killed", "resume=true")[0] == 0
    assert "this run is complete" in capsys.readouterr().out
    assert (killed / "summary.json").stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_sweep_and_the_same_command_goes_on(
    number: signal.Signals, code: int, tmp_path: Path, train: Train, summaries: Summaries
) -> None:
    small = [
        "dataset=synthetic", "dataset.source.num_train=600", "expert.hidden=16", "report=false",
        "trainer.accelerator=cpu", "trainer.max_epochs=15", "callbacks.progress.style=none",
        "seed=0,1", "-m",
    ]  # fmt: skip
    command = [sys.executable, "-m", "moe_lab.train", *small, "run_dir=stopped"]
    sweep = tmp_path / "stopped"
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any("val_loss" in p.read_text() for p in sweep.glob("*/metrics.jsonl")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "the same command again goes on" in said
    assert [s["status"] for s in summaries(sweep).values()] == ["interrupted"]
    assert train(*small, "run_dir=stopped", small=False)[0] == 0
    assert train(*small, "run_dir=whole", small=False)[0] == 0
    assert summaries(sweep) == summaries(tmp_path / "whole")


def folder_of(sweep: Path, seed: int) -> str:
    (found,) = sweep.glob(f"*_seed{seed}")
    return found.name
