"""Several processes with the same command line, as in a job array: they share the jobs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from moe_lab.training.disk import write_atomically

Summaries = Callable[[Path], dict[str, dict[str, Any]]]
LINE = (
    "-m", "dataset=synthetic", "dataset.source.num_train=300", "dataset.source.num_test=100",
    "trainer.max_epochs=2", "trainer.accelerator=cpu", "expert.hidden=16", "report=false",
    "callbacks.progress.style=none", "model=dense", "seed=0,1,2,3", "run_dir=sweep",
)  # fmt: skip


@pytest.mark.slow
def test_two_processes_at_once_do_each_job_once(tmp_path: Path, summaries: Summaries) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "moe_lab.train", *LINE],
            cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=240)[0] for process in started]
    codes = [process.returncode for process in started]
    assert set(codes) <= {0, 1}, said  # 1: not all of it was done yet when this one had ended
    assert 0 in codes, said
    done = [re.findall(r"^job \d/4: seed=(\d)\n\nIt is right on", text, re.M) for text in said]
    assert sorted(done[0] + done[1]) == ["0", "1", "2", "3"], said
    assert len(summaries(tmp_path / "sweep")) == 4
    assert {s["status"] for s in summaries(tmp_path / "sweep").values()} == {"done"}
    recorded = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["jobs"]
    assert len(recorded) == 4
    assert not list(tmp_path.rglob("*.partial"))


def test_writers_at_once_neither_fail_nor_mix(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    texts = [str(number) * 50_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: [write_atomically(path, text) for _ in range(20)], texts))
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]
