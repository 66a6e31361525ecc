"""Studies: rows that train, answers that follow from them, and work that is not done twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moe_lab.commands.study import main
from moe_lab.sweeps.studies import STUDIES, Part, Question, Row, Study
from moe_lab.sweeps.studies.running import run_all, slug, tasks
from moe_lab.sweeps.studies.tables import markdown, table

SMALL = (
    "dataset=synthetic dataset.source.num_train=300 dataset.source.num_test=100 "
    "trainer.max_epochs=1"
)
STUDY = Study(
    "tiny",
    "Is a mixture better than a network of eight hidden units?",
    "synthetic images",
    (
        Part(
            "only",
            "The only part",
            f"{SMALL} trainer.accelerator=cpu",
            (
                Row("dense", "model=dense expert.hidden=8", 50.0),
                Row("a mixture", "model=standard expert.hidden=8"),
            ),
            (Question("Is it?", "a mixture", "dense"),),
        ),
    ),
    seeds=2,
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A study of four small runs, and where it is kept."""
    monkeypatch.setitem(STUDIES, "tiny", STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "kept"


def test_a_study_trains_every_row_with_every_seed_and_answers(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tiny", "--out", str(tiny)]) == 0
    result = json.loads((tiny / "results.json").read_text())
    (part,) = result["parts"]
    dense, mixture = part["rows"]
    assert list(dense["accuracies"]) == ["0", "1"]
    summaries = [
        json.loads((tiny / "only" / "dense" / f"seed{seed}" / "run" / "summary.json").read_text())
        for seed in (0, 1)
    ]
    expected = [100 * summary["test_accuracy"] for summary in summaries]
    assert list(dense["accuracies"].values()) == pytest.approx(expected)
    assert dense["mean"] == pytest.approx(sum(expected) / 2)
    assert dense["params_total"] == 784 * 8 + 8 + 8 * 10 + 10
    assert mixture["flops_per_image"] > dense["flops_per_image"]
    (answer,) = part["answers"]
    assert answer["difference"] == pytest.approx(mixture["mean"] - dense["mean"], abs=1e-4)
    said = capsys.readouterr().out
    assert "| dense |" in said
    assert "50.00" in said
    assert "Is it?" in said
    assert (tiny / "results.png").read_bytes()[1:4] == b"PNG"


def test_what_is_done_is_not_done_again(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", "--out", str(tiny), "--seeds", "1"]) == 0
    files = sorted(tiny.rglob("best.ckpt"))
    written = [file.stat().st_mtime_ns for file in files]
    capsys.readouterr()
    assert main(["tiny", "--out", str(tiny)]) == 0
    assert capsys.readouterr().out.count("done before") == 2
    assert [file.stat().st_mtime_ns for file in files] == written
    assert len(sorted(tiny.rglob("best.ckpt"))) == 4


def test_another_command_line_is_another_run(tiny: Path) -> None:
    (first,) = list(tasks(STUDY, tiny, [0], [], quick=False))[:1]
    run_all([first], report=lambda line: None)
    assert first.finished is not None
    (other,) = list(tasks(STUDY, tiny, [0], ["optimizer.lr=0.1"], quick=False))[:1]
    assert other.folder == first.folder
    assert other.finished is None


def test_a_run_that_fails_is_named_and_the_others_are_kept(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (*STUDY.parts[0].rows, Row("no such thing", "model=nothing"))
    part = Part("only", "", STUDY.parts[0].shared, rows)
    monkeypatch.setitem(STUDIES, "tiny", Study("tiny", "", "", (part,), seeds=1))
    assert main(["tiny", "--out", str(tiny)]) == 1
    said = capsys.readouterr()
    assert "no such model" in said.err
    assert "failed: " in said.err
    assert len(json.loads((tiny / "results.json").read_text())["parts"][0]["rows"]) == 2


@pytest.mark.parametrize(
    ("typed", "expected"),
    [(["nothing"], "invalid choice"), (["iwmn", "--seeds", "0"], "--seeds must be at least 1")],
)
def test_a_wrong_line_is_refused(
    typed: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed) == 2
    assert expected in capsys.readouterr().err


def test_a_part_can_be_run_by_itself() -> None:
    study = STUDIES["seed_tables"]
    assert [part.name for part in study.only(["grid", "gated"]).parts] == ["gated", "grid"]
    with pytest.raises(ValueError, match=r"has parts gated, grid, .*; got 'gird'"):
        study.only(["gird"])


def test_every_line_of_every_study_is_right() -> None:
    from moe_lab.config.check import check_overrides
    from moe_lab.config.resolvers import register_resolvers

    register_resolvers()
    for study in STUDIES.values():
        for task in tasks(study, Path("kept"), [0], [], quick=True):
            check_overrides("train", list(task.typed), multirun=False)


def test_rows_have_folders_of_their_own() -> None:
    for study in STUDIES.values():
        for part in study.parts:
            slugs = [slug(row.name) for row in part.rows]
            assert len(set(slugs)) == len(slugs)


def test_a_twin_costs_what_its_mixture_costs() -> None:
    part = Part(
        "p",
        "",
        SMALL,
        (Row("a mixture", "model=sparse expert.hidden=16"), Row("twin", twin_of="a mixture")),
    )
    assert part.typed(part.rows[0])[-2:] == ["model=sparse", "expert.hidden=16"]
    typed = part.typed(part.rows[1])
    assert "model=dense" in typed
    hidden = int(next(word for word in typed if word.startswith("expert.hidden=")).split("=")[1])
    # Multiply-adds: the gate and two experts of 16 hidden units against one of `hidden`.
    mixture = 784 * 8 + 2 * (784 * 16 + 16 * 10)
    assert 794 * hidden <= mixture < 794 * (hidden + 1)


@pytest.mark.parametrize(
    ("rows", "questions", "problem"),
    [
        ((Row("a"), Row("b", twin_of="c")), (), "twin of 'c'"),
        ((Row("a"), Row("b", "model=dense", twin_of="a")), (), "twin of 'a'"),
        ((Row("a"), Row("a")), (), "same name"),
        ((Row("a"),), (Question("?", "a", "b"),), "asks for row 'b'"),
    ],
)
def test_a_study_that_does_not_hang_together_is_refused(
    rows: tuple[Row, ...], questions: tuple[Question, ...], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        Study("s", "", "", (Part("p", "", "", rows, questions),))


def test_a_table_has_published_values_only_where_there_are_some() -> None:
    row = {
        "name": "dense", "published": None, "params_total": 1000.0, "params_active": 500.0,
        "flops_per_image": 2000.0, "forward_ms": 1.234, "mean": 97.5, "sd": 0.25,
        "interval": [97.0, 98.0], "columns": {},
    }  # fmt: skip
    assert (
        table([row])[2] == "| dense | 1,000 | 500 | 2,000 | 1.23 | 97.50 ± 0.25 | 97.00 to 98.00 |"
    )
    assert "| 93.49 |" in table([{**row, "published": 93.49}])[2]
    routed = table([{**row, "columns": {"dead_experts": 1.25, "mutual_information": None}}])
    assert routed[0].endswith("| 95 % interval | dead experts | mutual information |")
    assert routed[2].endswith("| 97.00 to 98.00 | 1.25 |  |")
    environment = {
        "hardware": {"gpus": [], "processor": "P", "cores": 2}, "versions": {"torch": "2"},
    }  # fmt: skip
    text = markdown({"work": "W", "changes": ["x=1"], "parts": [], "environment": environment})
    assert "Not exactly that work: x=1" in text
