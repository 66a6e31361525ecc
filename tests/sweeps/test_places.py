"""The same command again goes on from here, with nothing to remember."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from moe_lab.sweeps.places import name_of_line
from moe_lab.train import main
from tests.conftest import SMALL

Train = Callable[..., tuple[int, Path]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sweep_without_run_dir_goes_on_in_the_folder_of_its_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["-m", *SMALL, "model=dense", "seed=0,1"]
    assert main(line) == 0
    (sweep,) = (here / "outputs" / "sweeps").iterdir()
    written = {path: path.stat().st_mtime_ns for path in sweep.glob("*/summary.json")}
    assert len(written) == 2
    capsys.readouterr()
    assert main([line[0], *reversed(line[1:]), "report=false"]) == 0
    assert capsys.readouterr().out.count("done: before") == 2
    assert {path: path.stat().st_mtime_ns for path in sweep.glob("*/summary.json")} == written
    assert main(["-m", *SMALL, "model=dense", "seed=0,2"]) == 0
    assert len(list((here / "outputs" / "sweeps").iterdir())) == 2


def test_lines_are_told_apart_by_all_that_makes_another_sweep() -> None:
    words = {"model=dense,sparse", "seed=0,1"}
    name = name_of_line(words)
    assert name.startswith("model=dense,sparse_seed=0,1_")
    assert name_of_line(words | {"hydra/launcher=joblib", "report=false"}) == name
    assert name_of_line(words | {"optimizer.lr=0.1"}) != name
    assert name_of_line({"model=dense,sparse", "seed=0,2"}) != name
    assert "/" not in name_of_line({"dataset.root=/a/b", "init_from=[x/y]"})


def test_latest_is_the_newest_run_of_the_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*SMALL, "model=dense", "trainer.max_epochs=2"]
    assert main([*line, "resume=latest"]) == 0
    assert "there is no run of this line yet" in capsys.readouterr().out
    (first,) = (here / "outputs").glob("2*")
    assert main([*line, "seed=1"]) == 0
    assert main([*line, "optimizer.lr=0.1"]) == 0
    (first / "summary.json").unlink()  # as if it had been killed
    capsys.readouterr()
    assert main([*line, "resume=latest"]) == 0
    assert "going on from" in capsys.readouterr().out
    assert json.loads((first / "summary.json").read_text())["status"] == "done"
    assert len(list((here / "outputs").glob("2*"))) == 3
    assert main([*line, "resume=latest"]) == 0
    assert "this run is complete" in capsys.readouterr().out
    assert main([*line, "resume=latest", "run_dir=x"]) == 2
    assert "looks for the run itself" in capsys.readouterr().err
