"""A process that was started for a command: signals at any moment, and readers that go away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT, SMALL

pytestmark = pytest.mark.slow

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
PYTHON = [sys.executable, "-u", "-m"]
LONG = ["trainer.max_epochs=5000"]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def start(words: Sequence[str], **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PYTHON, *words], env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, **options,  # type: ignore[call-overload]
    )  # fmt: skip


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.5])
def test_a_signal_while_a_command_starts_ends_it_with_a_line(
    seconds: float, number: signal.Signals, tmp_path: Path
) -> None:
    process = start(["moe_lab.train", *SMALL, *LONG, f"run_dir={tmp_path / 'run'}"])
    time.sleep(seconds)  # Python itself takes the first 0.05 s, torch most of the others
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == CODES[number], said
    assert "Traceback" not in said
    assert "stopped" in said or "to go on" in said


@pytest.mark.parametrize("number", CODES)
def test_a_signal_while_torch_is_imported_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = start(["moe_lab.train", *SMALL, *LONG, f"run_dir={tmp_path / 'run'}"])
    assert process.stdout is not None
    while "loading torch" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.3)
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert (process.returncode, said) == (CODES[number], "\nstopped\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["eval", "report"])
def test_a_command_that_reads_is_stopped_in_the_same_way(command: str, tmp_path: Path) -> None:
    process = start(["moe_lab", command, str(tmp_path)])
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode in (130, 2), said  # 2: it was faster
    assert "Traceback" not in said


@pytest.mark.parametrize("lines", [0, 8])
def test_a_reader_that_goes_away_costs_nothing(lines: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(["moe_lab.train", *SMALL, "trainer.max_epochs=3", f"run_dir={run}"])
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    process.stdout.close()  # as head and a pager do; stderr goes with it
    assert process.wait(timeout=120) == 0
    assert json.loads((run / "summary.json").read_text())["status"] == "done"


def test_a_closed_output_costs_nothing(tmp_path: Path) -> None:
    words = [*PYTHON, "moe_lab.train", *SMALL, f"run_dir={tmp_path / 'run'}", ">&-", "2>&-"]
    done = subprocess.run(" ".join(words), shell=True, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "done"


def test_a_refusal_keeps_its_exit_code_without_a_reader() -> None:
    process = start(["moe_lab.train", "no_such_key=1"])
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 2


@pytest.mark.parametrize("number", [*CODES, signal.SIGKILL])
def test_a_parallel_sweep_leaves_no_worker_behind(number: signal.Signals, tmp_path: Path) -> None:
    words = ["-m", *SMALL, *LONG, "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    process = start(["moe_lab.train", *words, f"run_dir={tmp_path}"], start_new_session=True)
    try:
        wait_for(lambda: len(list(tmp_path.glob("*_seed*/metrics.jsonl"))) == 2)
        assert len(of_session(process.pid)) >= 3
        process.send_signal(number)  # to the parent alone
        assert process.wait(timeout=120) == CODES.get(number, -number)
        wait_for(lambda: not of_session(process.pid))
    finally:
        for left in of_session(process.pid):
            os.kill(left, signal.SIGKILL)


def wait_for(condition: object, seconds: float = 150.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def of_session(leader: int) -> list[int]:
    """The processes of a session that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(entry.name))
    return found
