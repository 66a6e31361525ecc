"""Disks that are full, slow, read-only, or gone: said in a sentence, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lightning import LightningModule, Trainer

from moe_lab.commands.eval import main as evaluate
from moe_lab.commands.report import main as report
from moe_lab.training import disk
from moe_lab.training.callbacks import Stopwatch
from tests.conftest import SMALL, Trained

Train = Callable[..., tuple[int, Path]]
ReadJSON = Callable[[Path], dict[str, Any]]
FOUR = ("trainer.max_epochs=4",)
TIMES = ("train_seconds", "images_per_second")


def mount(folder: Path, *options: str) -> None:
    """Mount something, or skip where this may not be done."""
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 5 MiB: enough for two checkpoints of a small run, not for four."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    mount(folder, "-t", "tmpfs", "-o", "size=4m", "tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "PAUSES", (0.05, 0.05))


def in_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int, act: Callable[[], object]) -> None:
    """Do something in a training step, once."""
    original = Stopwatch.on_train_batch_end
    armed = [True]

    def on_train_batch_end(
        self: Stopwatch, trainer: Trainer, module: LightningModule, *rest: Any
    ) -> None:
        original(self, trainer, module, *rest)
        if armed and trainer.current_epoch == epoch:
            armed.clear()
            act()

    monkeypatch.setattr(Stopwatch, "on_train_batch_end", on_train_batch_end)


def fill(folder: Path) -> Path:
    """Take the last byte of a disk."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    return path


def resize(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def record(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def test_a_run_that_fills_the_disk_says_so_and_goes_on_when_there_is_space(
    small_disk: Path, train: Train, read_json: ReadJSON, capfd: pytest.CaptureFixture[str]
) -> None:
    run = small_disk / "run"
    assert train(*FOUR, f"run_dir={run}")[0] == 1
    said = capfd.readouterr()
    assert said.err.count("No space left on device") == 1
    assert "resume=true" in said.out
    assert "Traceback" not in said.err
    assert read_json(run / "summary.json")["status"] == "failed"
    assert not list(run.rglob("*.partial"))
    resize(small_disk, "20m")
    assert train(*FOUR, f"run_dir={run}", "resume=true")[0] == 0
    assert "going on from" in capfd.readouterr().out
    _, whole = train(*FOUR)
    assert record(run) == record(whole)


def test_a_disk_without_a_byte_left_costs_neither_the_run_nor_a_traceback(
    small_disk: Path, train: Train, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    resize(small_disk, "20m")
    run = small_disk / "run"
    with monkeypatch.context() as patch:
        in_epoch(patch, 2, lambda: fill(small_disk))
        assert train(*FOUR, f"run_dir={run}")[0] == 1
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "Logging error" not in said
    (small_disk / "filler").unlink()
    assert train(*FOUR, f"run_dir={run}", "resume=true")[0] == 0
    _, whole = train(*FOUR)
    assert record(run) == record(whole)


def test_a_disk_that_is_full_for_a_moment_costs_nothing(
    small_disk: Path, train: Train, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    resize(small_disk, "20m")
    filler = small_disk / "filler"
    in_epoch(monkeypatch, 1, lambda: fill(small_disk))
    monkeypatch.setattr("time.sleep", lambda seconds: filler.unlink(missing_ok=True))
    assert train(*FOUR, f"run_dir={small_disk / 'run'}")[0] == 0
    assert "is full; trying again" in capfd.readouterr().out
    assert not filler.exists()


def test_a_run_whose_folder_is_deleted_fails_and_says_so(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = tmp_path / "run"
    in_epoch(monkeypatch, 1, lambda: shutil.rmtree(run))
    assert train(*FOUR, f"run_dir={run}")[0] == 1
    said = capfd.readouterr().err
    assert f"{run} is gone" in " ".join(said.split())
    assert "Traceback" not in said
    assert not run.exists()


def test_a_run_that_may_only_be_read_is_evaluated_and_reported_elsewhere(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained()
    mount(run, "--bind", str(run))
    try:
        mount(run, "-o", "remount,bind,ro")
        for command in (evaluate, report):
            assert command([f"run={run}"]) == 1
            assert "out=FOLDER" in capsys.readouterr().err
            assert command([f"run={run}", f"out={tmp_path / 'out'}"]) == 0
        written = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert written == ["eval_test_best.json", "report.html"]
    finally:
        subprocess.run(["umount", "-l", str(run)], check=True)


KILLED_WRITING = """
import os, signal, sys
from moe_lab.training import disk
count = 0
replace = os.replace
def fsync(descriptor):
    global count
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    if ".last.ckpt." in path:
        count += 1
        if count == 3:
            os.ftruncate(descriptor, 1000)  # what a slow disk would hold by now
            os.kill(os.getpid(), signal.SIGKILL)
disk.os.fsync = fsync
from moe_lab.train import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_checkpoint_leaves_the_one_before(
    small_disk: Path, train: Train, tmp_path: Path
) -> None:
    resize(small_disk, "20m")
    run = small_disk / "run"  # the folder for temporary files is on another file system
    line = [*SMALL, *FOUR, f"run_dir={run}"]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_WRITING, *line],
        env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(list(run.rglob("*.partial"))) == 1
    assert train(*FOUR, f"run_dir={run}", "resume=true")[0] == 0
    assert not list(run.rglob("*.partial"))
    _, whole = train(*FOUR)
    assert record(run) == record(whole)
