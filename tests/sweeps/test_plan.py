"""plan=true: what would run, what is refused, what it costs, and that nothing is left behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from moe_lab.sweeps import estimate
from moe_lab.sweeps import plan as plan_module
from moe_lab.sweeps.estimate import Cost, write_page
from moe_lab.sweeps.jobs import Job
from moe_lab.sweeps.plan import Entry, rough_duration, totals

Train = Callable[..., tuple[int, Path]]
ReadJSON = Callable[[Path], dict[str, Any]]


def planned(monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """What the next plan lists, besides what it prints."""
    entries: list[Entry] = []
    original = plan_module.make_plan

    def make_plan(*arguments: Any) -> list[Entry]:
        entries.extend(original(*arguments))
        return list(entries)

    monkeypatch.setattr(plan_module, "make_plan", make_plan)
    return entries


def test_a_plan_lists_jobs_duplicates_and_refusals_and_writes_nothing(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    entries = planned(monkeypatch)
    code, run = train("-m", "plan=true", "trainer.limit_train_batches=1.0,0.001", "seed=0,0,1")
    assert code == 2  # part of it is refused
    assert [entry.times for entry in entries] == [2, 1, 2, 1]
    assert [isinstance(entry.found, str) for entry in entries] == [False, False, True, True]
    out = capsys.readouterr().out
    assert "6 jobs: 2 duplicate, 2 refused" in out
    assert "leaves no step" in " ".join(re.sub(r"[│┃]", " ", out).split())
    assert not run.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_plan_counts_what_the_run_then_reports(
    train: Train, read_json: ReadJSON, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = planned(monkeypatch)
    assert train("plan=true", "model=sparse")[0] == 0
    _, run = train("model=sparse")
    cost, summary = entries[0].found, read_json(run / "summary.json")
    assert not isinstance(cost, str)
    assert cost.params == summary["params_total"]
    assert cost.flops_per_image == summary["flops_per_image"]
    # Weights, gradients and two moments of AdamW in float32, and 400 images of 784 bytes.
    assert cost.bytes > 4 * 4 * cost.params + 400 * 784
    assert cost.bytes < 3 * (4 * 4 * cost.params + 400 * 784)


@pytest.mark.slow
def test_time_grows_with_epochs_and_is_near_what_training_takes(
    train: Train, read_json: ReadJSON, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = planned(monkeypatch)
    size = ("dataset.source.num_train=6000", "model=sparse", "expert.hidden=64",
            "trainer.deterministic=false")  # fmt: skip
    train("-m", "plan=true", *size, "trainer.max_epochs=2,20")
    short, long = (entry.found for entry in entries)
    assert not isinstance(short, str)
    assert not isinstance(long, str)
    assert 2 < long.seconds / short.seconds < 25  # loose, as below
    _, run = train(*size, "trainer.max_epochs=20")
    measured = read_json(run / "summary.json")["train_seconds"]  # without validation
    assert measured / 3 < long.seconds < 5 * measured  # loose: other work shares the machine


def test_a_plan_of_a_sweep_that_has_begun_leaves_out_what_is_done(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, sweep = train("-m", "seed=0,1")
    before = sorted(path.stat().st_mtime_ns for path in sweep.rglob("*"))
    entries = planned(monkeypatch)
    assert train("-m", "plan=true", "seed=0,1,2", f"run_dir={sweep}")[0] == 0
    assert [entry.status for entry in entries] == ["done", "done", "missing"]
    assert [entry.seconds > 0 for entry in entries] == [False, False, True]
    assert "3 jobs: 2 done before" in capsys.readouterr().out
    assert sorted(path.stat().st_mtime_ns for path in sweep.rglob("*")) == before


def test_a_run_that_is_validated_now_and_then_is_planned_with_as_many_validations(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = planned(monkeypatch)
    time_steps = estimate.time_steps

    def slow_to_validate(*arguments: Any) -> Any:
        stopwatch, trainer, timer = time_steps(*arguments)
        timer.validation = 10.0
        return stopwatch, trainer, timer

    monkeypatch.setattr(estimate, "time_steps", slow_to_validate)
    line = ("plan=true", "model=dense", "trainer.max_epochs=400", "report=false")
    assert train(*line, "trainer.check_val_every_n_epoch=200")[0] == 0
    assert train(*line)[0] == 0
    now_and_then, always = (entry.found for entry in entries)
    assert not isinstance(now_and_then, str), now_and_then
    assert not isinstance(always, str)
    assert always.seconds > 400 * 10
    assert now_and_then.seconds < 400  # two validations, and the last one of the best weights


def test_planning_changes_no_later_run(train: Train, read_json: ReadJSON) -> None:
    _, first = train("seed=3")
    train("plan=true", "seed=4")
    assert not torch.is_inference_mode_enabled()
    _, second = train("seed=3")
    losses = [read_json(run / "summary.json")["test_loss"] for run in (first, second)]
    assert losses[0] == losses[1]


def test_plan_and_resume_are_no_part_of_what_a_run_is(train: Train, read_json: ReadJSON) -> None:
    _, run = train()
    _, resumed = train("resume=true")
    hashes = [read_json(path / "summary.json")["config_hash"] for path in (run, resumed)]
    assert hashes[0] == hashes[1]


def test_the_sum_holds_the_start_of_the_process_once() -> None:
    def entry(seconds: float, status: str = "missing") -> Entry:
        return Entry(Job((), 0, "hash"), 1, status, Cost(1, 1, 1, seconds, "mnist"))

    lines = totals([entry(10), entry(20), entry(40, "done")], starting=4)
    assert "one job after the other: 34.0 s" in lines[1]
    assert "4.0 s of it for Python and torch to start" in lines[1]
    # Nothing is left, so no process has to start.
    assert "one job after the other: 0.0 s" in totals([entry(40, "done")], starting=4)[1]
    # torch alone takes more than 100 MiB, and no machine has a million of them.
    (held,) = re.findall(r"held ([\d,]+) MiB", lines[2])
    assert 100 < int(held.replace(",", "")) < 1_000_000


def test_the_page_about_a_run_counts_where_one_is_asked_for(tmp_path: Path) -> None:
    config = OmegaConf.create({"report": False, "run_dir": str(tmp_path), "model": {"top_k": 2}})
    assert write_page(config) == 0
    assert list(tmp_path.iterdir()) == []
    config.report = True
    assert 0 < write_page(config) < 60
    assert (tmp_path / "report.html").is_file()
    config.run_dir = str(tmp_path / "missing")  # as in training, no page is no failure
    assert write_page(config) == 0


def test_durations_are_readable() -> None:
    assert [rough_duration(s) for s in (1.26, 600, 36000)] == ["1.3 s", "10.0 min", "10.0 h"]
    assert totals([])[0] == "0 jobs"
