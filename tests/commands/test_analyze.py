"""The analysis entry point: what it writes, that it is right, and what it refuses."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_lab.commands.analyze import main
from moe_lab.config.help import help_text
from tests.conftest import Train, Trained

ReadJSON = Callable[[Path], dict[str, Any]]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_analysis_writes_numbers_tables_and_figures_that_agree_with_the_run(
    trained: Trained, read_json: ReadJSON, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained("trainer.max_epochs=2")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main([f"run={run}"]) == 0
    shown = capsys.readouterr().out
    accuracy = read_json(run / "summary.json")["test_accuracy"]
    folder = run / "analysis_test"

    analysis = read_json(folder / "analysis.json")
    assert analysis["metrics"]["accuracy"] == pytest.approx(accuracy)
    assert analysis["images"] == 100
    assert sum(map(sum, analysis["tables"]["confusion"])) == 100

    answers = rows(folder / "predictions.csv")
    assert len(answers) == 100
    assert sum(int(row["correct"]) for row in answers) == round(100 * accuracy)
    used = {(row["sample"], row["expert"]) for row in rows(folder / "activations.csv")}
    assert len(used) == 200  # two experts an image

    content = read_json(folder / "probes.json")
    assert set(content["routers"]) == {"router"}
    probes = content["routers"]["router"]
    assert len(probes["knock_out"]) == 8
    assert len(probes["swap"]) == 28
    for effect in (*probes["knock_out"], *probes["swap"], probes["freeze"], probes["drop_top"]):
        assert effect["accuracy_before"] == pytest.approx(accuracy)
        gain = (effect["gained"] - effect["lost"]) / 100
        assert effect["accuracy_after"] - accuracy == pytest.approx(gain, abs=1e-6)
    assert sum(effect["images"] for effect in probes["knock_out"]) == 200
    assert probes["verdict"] in " ".join(shown.split())

    drawn = {path.stem for path in (folder / "plots").glob("*.png")}
    assert {"expert_classes", "training_curves", "confusion", "architecture"} <= drawn
    assert all(path.read_bytes() == content for path, content in before.items())


def test_batch_size_split_checkpoint_and_place_can_be_chosen(
    tmp_path: Path, trained: Trained, read_json: ReadJSON
) -> None:
    run = trained("trainer.max_epochs=2")
    plain = [f"run={run}", "plots=false", "split=val"]
    assert main(plain) == 0
    assert main([*plain, "eval_batch_size=7", f"out={tmp_path}/small"]) == 0
    one, other = run / "analysis_val", tmp_path / "small"
    assert read_json(one / "probes.json") == read_json(other / "probes.json")
    assert read_json(one / "analysis.json")["images"] == 30
    assert not (one / "plots").exists()
    assert main([*plain, "checkpoint=last", "probes=false", "every_expert=false"]) == 0
    last = run / "analysis_val_last"
    assert read_json(last / "analysis.json")["checkpoint"] == "last"
    assert not (last / "probes.json").exists()
    assert main([*plain, "split=train", "probes=false"]) == 0
    assert read_json(run / "analysis_train" / "analysis.json")["images"] == 270


@pytest.mark.parametrize(
    ("model", "routers"),
    [
        (["model=dense"], []),
        pytest.param(["model=soft_moe"], [], marks=pytest.mark.slow),
        (["model=adaptive_depth"], ["mixture.router"]),
        pytest.param(["model=attentive"], ["router"], marks=pytest.mark.slow),
        (["model=hierarchical"], ["router"]),
        pytest.param(["trainer.precision=bf16-mixed"], ["router"], marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_model_is_analysed(
    model: list[str],
    routers: list[str],
    train: Train,
    read_json: ReadJSON,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, run = train(*model, "debug=fast")
    assert code == 0
    assert main([f"run={run}", "plots=false"]) == 0
    content = read_json(run / "analysis_test" / "probes.json")
    assert list(content["routers"]) == routers
    shown = " ".join(capsys.readouterr().out.split())
    if routers:
        found = content["routers"][routers[0]]
        assert found["verdict"] in shown
        measured = read_json(run / "analysis_test" / "analysis.json")["metrics"]["accuracy"]
        assert found["freeze"]["accuracy_before"] == pytest.approx(measured, abs=1e-6)
    else:
        assert "no choice to probe" in content["note"]
        assert content["note"] in shown


def test_bad_requests_end_with_code_2_and_one_screen(
    tmp_path: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained()
    (tmp_path / "file").write_text("")
    for line, expected in (
        ([f"run={tmp_path}"], "holds no run"),
        (["run=5"], "holds no run"),
        ([], "has no value"),
        ([f"run={run}", "split=tset"], "one of train | val | test"),
        ([f"run={run}", f"out={tmp_path}/file/deep"], "is a file, not a folder"),
        ([f"run={run}", "prob=1"], "no key 'prob'"),
    ):
        assert main(line) == 2, line
        error = capsys.readouterr().err
        assert expected in error
        assert "Traceback" not in error
    assert not list(run.glob("analysis_*"))


def test_help_lists_its_keys_and_no_groups() -> None:
    text = help_text("analyze", "", ())
    assert "every_expert" in text
    assert "GROUP" not in text
    assert "GROUP" in help_text("audit", "", ())
