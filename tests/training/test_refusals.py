"""A refusal writes nothing: whatever is wrong, the run that is in the folder stays as it was."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import SMALL
from tests.training.test_resume import Killed, kill_after

Train = Callable[..., tuple[int, Path]]
HOLDER = """
import sys, time
from pathlib import Path
from moe_lab.training.claim import claim
with claim(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def contents(folder: Path) -> dict[str, str]:
    """The sum of every file of a folder, and the time at which each was changed."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        + str(path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[int]:
    """A folder that another process is at work in; its number."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def killed(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was killed in its third epoch."""
    folder = tmp_path / "killed"
    with monkeypatch.context() as patch:
        kill_after(patch, 2, batch=0)
        with pytest.raises(Killed):
            train("trainer.max_epochs=4", f"run_dir={folder}")
    return folder


REFUSED = {
    "another learning rate": ("optimizer.lr=0.5",),
    "another seed": ("seed=3",),
    "another size": ("expert.hidden=8",),
    "an unknown key": ("optimizer.lrr=1",),
    "no such data": ("dataset=mnist", "dataset.root=nowhere", "dataset.fallback=null"),
    "no such images": ("dataset.classes=[99]",),
    "weights of no run": ("init_from=nowhere",),
    "no batch left": ("trainer.limit_train_batches=0.001",),
    "no GPU": ("trainer.accelerator=gpu",),
    "not asked to go on": ("resume=false",),
}


def test_whatever_is_refused_the_folder_stays_as_it_was(
    killed: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(killed)
    for name, words in REFUSED.items():
        line = ("trainer.max_epochs=4", f"run_dir={killed}", "resume=true", *words)
        capsys.readouterr()
        assert train(*line)[0] != 0, name
        assert "error" in capsys.readouterr().err, name
        assert contents(killed) == before, name
    with held_elsewhere(killed) as pid:
        assert train("trainer.max_epochs=4", f"run_dir={killed}", "resume=true")[0] == 2
        said = capsys.readouterr().err
        assert f"process {pid} on " in said
        assert contents(killed) == before
    assert train("trainer.max_epochs=4", f"run_dir={killed}", "resume=true")[0] == 0
    assert "going on from" in capsys.readouterr().out


def test_a_run_whose_checkpoints_are_all_damaged_is_not_begun_anew(
    killed: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("last", "last.previous"):
        path = killed / "checkpoints" / f"{name}.ckpt"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    before = contents(killed)
    assert train("trainer.max_epochs=4", f"run_dir={killed}", "resume=true")[0] == 1
    assert "the run cannot go on" in capsys.readouterr().err
    assert contents(killed) == before


def test_a_new_run_that_is_refused_leaves_no_folder(train: Train, tmp_path: Path) -> None:
    assert train("trainer.accelerator=gpu", "run_dir=new")[0] == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_of_two_processes_with_one_run_directory_one_is_refused(tmp_path: Path) -> None:
    line = [
        sys.executable, "-m", "moe_lab.train", *SMALL, "run_dir=run", "resume=true",
        "trainer.max_epochs=100", "callbacks.progress.style=none",
    ]  # fmt: skip
    started = [
        subprocess.Popen(
            line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in started]
    codes = [process.returncode for process in started]
    assert sorted(codes) == [0, 2], said
    done, refused = started[codes.index(0)], said[codes.index(2)][1]
    assert f"another process is at work in {tmp_path / 'run'}: process {done.pid} on" in refused
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines if "train_epoch_loss" in line]
    assert steps == sorted(set(steps))
    assert len(steps) == 100
