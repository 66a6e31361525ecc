"""The comparison entry point."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd
import pytest

from moe_lab.commands.compare import main
from moe_lab.config.launch import name_positional
from tests.conftest import Train, Trained


def test_words_that_are_paths_become_the_list_of_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=0.1").mkdir()
    typed = ["outputs/a", "it's", "lr=0.1", "by=test_loss", "baseline=model=dense k=2"]
    assert name_positional(main.usage, typed) == [
        "by=test_loss", "baseline='model=dense k=2'",
        "runs=['outputs/a','it\\'s','lr=0.1']",
    ]  # fmt: skip
    assert name_positional(main.usage, ["out=null", "baseline='a b'", "runs=x"]) == [
        "out=null", "baseline='a b'", "runs=x",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_sweep_is_compared_and_its_commands_make_the_same_runs(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    assert train("-m", "model=sparse,dense", "seed=0,1", f"run_dir={sweep}")[0] == 0
    capsys.readouterr()
    out = tmp_path / "tables"
    assert main([str(sweep), "baseline=dense", "mcnemar=true", f"out={out}"]) == 0
    shown = capsys.readouterr().out
    assert "model=sparse" in shown
    assert "(2 paired seeds, p" in shown
    assert "McNemar on the answers" in shown
    table = pd.read_csv(out / "comparison.csv").set_index("group")
    words = shlex.split(table["command"]["model=dense"])
    assert words[:4] == ["python", "-m", "moe_lab.train", "-m"]
    again = tmp_path / "again"
    assert train(*words[3:], f"run_dir={again}", small=False)[0] == 0
    assert main([str(again), str(sweep), f"out={out}"]) == 0
    repeated = pd.read_csv(out / "comparison.csv").set_index("group")
    assert repeated["n"].to_dict() == {"model=sparse": 2, "model=dense": 2}
    columns = ["config_hash", "test_accuracy_mean"]
    assert (repeated[columns] == table[columns]).all(axis=None)
    assert "which is newer" in capsys.readouterr().out


def test_bad_requests_end_with_code_2(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = trained(), trained("dataset.source.prototype_seed=1")
    (tmp_path / "file").touch()
    for line, expected in (
        ([], "has no value"),
        ([str(tmp_path / "missing")], "there is no run in"),
        ([str(run), "by=accuracy"], "did you mean"),
        ([str(run), "by=experts_per_image"], "says nothing that runs could be compared by"),
        ([str(run), "bye=1"], "no key 'bye'"),
        ([str(run), "baseline=nobody"], "is none of the groups"),
        ([str(run), f"out={tmp_path / 'file'}"], "is a file, not a folder"),
        ([str(run), str(other)], "the runs saw different data"),
    ):
        assert main(line) == 2, line
        assert expected in capsys.readouterr().err


def test_weights_that_are_gone_are_named(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, dense = trained(), trained("model=dense")
    (dense / "checkpoints" / "best.ckpt").unlink()
    assert main([str(tmp_path), "mcnemar=true"]) == 1
    assert "best.ckpt" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 0
