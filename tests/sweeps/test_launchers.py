"""Launchers that run jobs in other processes: the same results, table and exit code."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from moe_lab.sweeps import launch_jobs

Train = Callable[..., tuple[int, Path]]
Summaries = Callable[[Path], dict[str, dict[str, Any]]]
SMALL = (
    "dataset=synthetic", "dataset.source.num_train=300", "dataset.source.num_test=100",
    "trainer.max_epochs=1", "trainer.accelerator=cpu", "expert.hidden=16", "report=false",
)  # fmt: skip
JOBS = (
    "-m", "model=dense,sparse", "optimizer.lr=1e-3,1e20",
    "callbacks.progress.style=none",
)  # fmt: skip


def run_alone(folder: Path, *words: str) -> tuple[int, str]:
    """A command line in a process of its own, as launchers with processes need it."""
    done = subprocess.run(
        [sys.executable, "-m", "moe_lab.train", *SMALL, *words],
        cwd=folder, capture_output=True, text=True, timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # joblib's: sums differ by the threads
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.slow
def test_joblib_gives_what_the_basic_launcher_gives(tmp_path: Path, summaries: Summaries) -> None:
    parallel = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    code, said = run_alone(tmp_path, *JOBS, *parallel, "run_dir=parallel")
    basic_code, basic_said = run_alone(tmp_path, *JOBS, "run_dir=basic")
    assert code == basic_code == 1
    found, expected = summaries(tmp_path / "parallel"), summaries(tmp_path / "basic")
    assert [s["status"] for s in found.values()].count("failed") == 2
    for summary in (*found.values(), *expected.values()):
        summary.pop("run_dir", None)
    assert found == expected
    assert "2 done, 2 failed" in said
    assert "2 done, 2 failed" in basic_said
    # Processes of another launcher find the same jobs: nothing that is done is done again.
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("basic/*/tables.json")}
    code, said = run_alone(tmp_path, *JOBS, *parallel, "run_dir=basic")
    assert code == 1
    assert said.count("done: before") == len(kept) == 2
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="needs hydra-submitit-launcher"
)
def test_submitit_runs_a_sweep_on_this_machine(tmp_path: Path, summaries: Summaries) -> None:
    words = ("-m", "seed=0,1", "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=4")
    code, said = run_alone(tmp_path, *words, "run_dir=submitted")
    assert code == 0
    assert "2 done" in said
    assert [s["seed"] for s in summaries(tmp_path / "submitted").values()] == [0, 1]


@pytest.mark.skipif(
    importlib.util.find_spec("submitit") is not None, reason="hydra-submitit-launcher is here"
)
def test_a_launcher_that_is_not_installed_says_what_to_install(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("-m", "seed=0,1", "hydra/launcher=submitit_slurm")[0] == 2
    assert "pip install hydra-submitit-launcher" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cores", "jobs", "threads"), [(8, 4, 2), (8, -1, 1), (8, 3, 2), (2, 4, 1), (8, -5, 2)]
)
def test_processes_at_once_share_the_cores(
    cores: int, jobs: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[int] = []
    monkeypatch.setenv("OMP_NUM_THREADS", "99")
    monkeypatch.setattr(launch_jobs, "available_cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    launch_jobs.limit_threads(SimpleNamespace(launcher={"n_jobs": jobs}))
    assert chosen == [threads]
    assert launch_jobs.os.environ["OMP_NUM_THREADS"] == str(threads)
