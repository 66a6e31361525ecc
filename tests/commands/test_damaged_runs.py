"""What is damaged in a run directory is named on one screen; a comparison goes on without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from moe_lab.__main__ import main
from moe_lab.errors import UserError
from moe_lab.training.load_run import load
from tests.conftest import Trained

DAMAGES = {
    "empty": b"",
    "a list": b"[1, 2]\n",
    "binary": bytes(range(256)),
    "a text": b"hello\n",
    "null": b"null\n",
    "a number": b"3\n",
    "other names": b'{"a": {"b": 1}}\n',
    "deep": b"[" * 5_000 + b"\n",
}
LONG = "x" * 260


@pytest.fixture(scope="module")
def whole(trained_once: Trained) -> Path:
    return trained_once()


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy without checksums, which would tell of any change: what is left is the reading."""
    return copied(whole, tmp_path / "run")


def copied(whole: Path, to: Path) -> Path:
    return Path(shutil.copytree(whole, to, ignore=shutil.ignore_patterns("checksums.json")))


def damage(path: Path, how: str) -> None:
    """Put something else in place of a file of a run."""
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how != "missing":
        path.write_bytes(DAMAGES[how])


def screen(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("how", [*DAMAGES, "missing", "a folder"])
@pytest.mark.parametrize("name", ["config.yaml", "environment.json"])
def test_a_run_cannot_be_evaluated_without_its_record(
    name: str, how: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run / name, how)
    assert main(["eval", str(run)]) in (1, 2)
    assert name in screen(capsys)
    assert not (run / "eval_test_best.json").exists()


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "tables.json", "environment.json"])
@pytest.mark.parametrize("how", [how for how in DAMAGES if how != "other names"])
def test_a_report_names_the_damaged_file(
    name: str, how: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run / name, how)
    assert main(["report", str(run)]) == 1
    assert f"{name} is damaged" in screen(capsys)


@pytest.mark.parametrize("name", ["summary.json", "tables.json", "environment.json"])
def test_a_report_is_made_without_what_is_not_there(name: str, run: Path) -> None:
    (run / name).unlink()
    assert main(["report", str(run)]) == 0


def test_a_broken_line_of_the_metrics_is_named_by_its_number(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = run / "metrics.jsonl"
    first, *others = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join([first, '{"epoch": 1, "val\n', *others]))
    assert main(["report", str(run)]) == 1
    assert f"line 2 of {metrics} cannot be read" in screen(capsys)
    metrics.write_text("".join([first, *others, '{"epoch": 1, "val']))  # cut off by a kill
    assert main(["report", str(run)]) == 0


@pytest.mark.parametrize("how", [*DAMAGES, "missing", "a folder"])
@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "environment.json"])
def test_a_comparison_goes_on_and_names_the_run_left_out(
    name: str, how: str, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in ("damaged", "sound"):
        copied(whole, tmp_path / "runs" / run)
    damage(tmp_path / "runs" / "damaged" / name, how)
    assert main(["compare", str(tmp_path / "runs")]) == 0
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    needed = name != "environment.json" or how not in ("missing", "a folder", "other names")
    if needed and (name, how) != ("config.yaml", "other names"):
        assert "runs/damaged" in "".join(said.out.split())


@pytest.mark.parametrize(
    "change", [{"seed": "many"}, {"choices": 3}, {"seed": None}, {"test_accuracy": "high"}]
)
def test_a_summary_of_other_values_does_not_end_a_comparison(
    change: dict[str, object], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in ("damaged", "sound"):
        copied(whole, tmp_path / "runs" / run)
    path = tmp_path / "runs" / "damaged" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert main(["compare", str(tmp_path / "runs")]) == 0
    assert "summary.json" in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("how", [*DAMAGES, "missing", "a folder"])
def test_the_status_of_a_sweep_survives_a_damaged_summary(
    how: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep, folder = tmp_path / "sweep", "0123456789ab_seed0"
    sweep.mkdir()
    shutil.move(run, sweep / folder)
    job = {"folder": folder, "config_hash": "0123456789ab", "seed": 0, "overrides": ["seed=0"]}
    (sweep / "sweep.json").write_text(json.dumps({"jobs": [job]}))
    assert main(["sweep", "status", str(sweep)]) == 0
    damage(sweep / folder / "summary.json", how)
    assert main(["sweep", "status", str(sweep)]) == 1
    damage(sweep / "sweep.json", how)
    capsys.readouterr()
    assert main(["sweep", "status", str(sweep)]) in (1, 2)
    assert "sweep.json" in screen(capsys)


def test_a_class_that_is_gone_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = run / "config.yaml"
    now, then = "moe_lab.routers.NoisyTopKRouter", "moe_lab.routers.NoisyTopRouter"
    assert now in config.read_text()
    config.write_text(config.read_text().replace(now, then))
    with pytest.raises(UserError, match="NoisyTopKRouter"):  # did you mean
        load(run)
    assert main(["eval", str(run)]) == 2
    assert then in screen(capsys)


@pytest.mark.parametrize("part", ["model", "dataset", "loss", "trainer"])
def test_a_configuration_without_a_part_is_damaged(
    part: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load((run / "config.yaml").read_text())
    for value in (None, 3, [1]):
        (run / "config.yaml").write_text(yaml.safe_dump({**content, part: value}))
        assert main(["eval", str(run)]) in (1, 2)
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        ["eval", LONG], ["report", LONG], ["analyze", LONG], ["compare", LONG],
        ["sweep", "status", LONG], ["train", f"run_dir={LONG}"], ["train", f"run_dir=a/{LONG}/b"],
        ["train", f"init_from={LONG}", "dataset=synthetic", "run_dir=here"],
        ["compare", "outputs", f"out={LONG}"], ["eval", "a\0b"],
    ],
)  # fmt: skip
def test_a_name_that_no_folder_can_have_is_refused(
    line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(line) == 2
    assert "wrong:" in screen(capsys)


def test_an_error_that_nobody_foresaw_is_one_screen(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("moe_lab.analysis.page.write_report", fail)
    with pytest.raises(ZeroDivisionError):
        main(["report", str(run)])
    monkeypatch.delenv("MOE_LAB_TRACEBACK")
    assert main(["report", str(run)]) == 1
    said = screen(capsys)
    assert "ZeroDivisionError: by zero" in said
    assert "MOE_LAB_TRACEBACK=1" in said
