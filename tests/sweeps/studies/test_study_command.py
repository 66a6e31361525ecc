"""`python -m moe_lab study`: rows that train, answers that follow, work that is not done twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_lab.__main__ import main as moe_lab
from moe_lab.commands.study import main
from moe_lab.sweeps.studies import execution, forward_time

from .conftest import TINY

AddStudy = Callable[[str, str], Path]


def results(kept: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((kept / "results.json").read_text())
    return found


def test_a_study_trains_every_row_with_every_seed_and_answers(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(forward_time, "TOLERANCE", 1e9)  # however busy the machine is
    assert moe_lab(["study", "tiny", f"out={tiny}"]) == 0
    (part,) = results(tiny)["parts"]
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
    assert part["budget"] == {"images": {"train": 270, "val": 30, "test": 100}, "epochs": [1]}
    assert [run["test_loss"] for run in dense["runs"]] == [s["test_loss"] for s in summaries]
    assert dense["runs"][1]["command"].endswith(
        " model=dense expert.hidden=8 dataset.split_seed=1 seed=1"
    )
    assert results(tiny)["split"] == "by_seed"
    # Each seed draws its own images, and both rows draw the same.
    drawn = {
        (label, seed): json.loads(
            (tiny / "only" / label / f"seed{seed}" / "run" / "summary.json").read_text()
        )["data_fingerprint"]
        for label in ("dense", "a_mixture")
        for seed in (0, 1)
    }
    assert drawn["dense", 0] != drawn["dense", 1]
    assert [drawn["a_mixture", seed] for seed in (0, 1)] == [
        drawn["dense", seed] for seed in (0, 1)
    ]
    assert answer["test"] == "paired t"
    assert results(tiny)["across_page"]["tested"] == 1
    assert list(dense["forward_ms"]) == ["1", "128", "1024"]
    assert all(0 < times["minimum"] <= times["median"] for times in dense["forward_ms"].values())
    said = capsys.readouterr().out
    assert "| dense |" in said
    assert "50.00" in said
    assert "Is it?" in said
    assert "forward of 1,024 images, ms" in said
    assert (tiny / "results.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.slow
def test_what_is_done_is_not_done_again(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", f"out={tiny}", "seeds=1"]) == 0
    files = sorted(tiny.rglob("best.ckpt"))
    written = [file.stat().st_mtime_ns for file in files]
    capsys.readouterr()
    assert main(["tiny", f"out={tiny}"]) == 0
    assert capsys.readouterr().out.count("done before") == 2
    assert [file.stat().st_mtime_ns for file in files] == written
    assert len(sorted(tiny.rglob("best.ckpt"))) == 4


@pytest.mark.slow
def test_other_words_go_to_every_run_and_make_it_another_one(tiny: Path) -> None:
    assert main(["tiny", f"out={tiny}", "seeds=1"]) == 0
    assert main(["tiny", f"out={tiny}", "seeds=1", "optimizer.lr=0.1"]) == 0
    for config in tiny.rglob("config.yaml"):
        assert "lr: 0.1\n" in config.read_text()
    assert results(tiny)["changes"] == ["optimizer.lr=0.1"]
    assert "**Not exactly that work: optimizer.lr=0.1.**" in (tiny / "results.md").read_text()


@pytest.mark.slow
def test_quick_is_less_work_in_a_folder_of_its_own(tiny: Path) -> None:
    assert main(["tiny", "quick=true"]) == 0
    kept = tiny.parent / "outputs" / "studies" / "tiny_quick"
    assert [list(row["accuracies"]) for row in results(kept)["parts"][0]["rows"]] == [["0"], ["0"]]
    assert results(kept)["parts"][0]["budget"]["images"]["train"] == 180
    assert results(kept)["changes"] == ["dataset.source.num_train=200"]


@pytest.mark.slow
def test_a_plan_counts_what_is_left_and_trains_nothing(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tiny", f"out={tiny}", "plan=true"]) == 0
    assert not tiny.exists()
    assert main(["tiny", f"out={tiny}", "seeds=1"]) == 0
    capsys.readouterr()
    assert main(["tiny", f"out={tiny}", "plan=true"]) == 0
    said = capsys.readouterr().out
    assert "2 of 4 runs are left: " in said
    assert said.count("1 of 2") == 2
    assert f"{784 * 8 + 8 + 8 * 10 + 10:,}" in said


@pytest.mark.slow
def test_a_part_can_be_run_by_itself(
    add_study: AddStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = TINY[TINY.index("  - name: only") :].replace("name: only", "name: other")
    add_study("two", TINY + part)
    assert main(["two", "parts=[other]", "seeds=1", "out=kept"]) == 0
    assert [part["name"] for part in results(tmp_path / "kept")["parts"]] == ["other"]
    capsys.readouterr()
    assert main(["two", "parts=other,onyl"]) == 2
    assert "two has no part onyl\n  expected: parts of this study: only, other" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ([], "which study is not said"),
        (["tinny"], "no such study; did you mean tiny?"),
        (["tiny", "seeds=0"], "expected int >= 1 or null"),
        (["tiny", "dataset.rot=here"], "in 2 of 2 rows, the first is 'only: dense'"),
        (["tiny", "router.top_k=99"], "router.top_k=99"),
        (["tiny", "optimizer.lr=0.1,0.2"], "several values"),
        (["tiny", "seed=3"], "seeds=3 trains every row"),
        (["tiny", "run_dir=here"], "out=FOLDER says where"),
        (["tiny", "quick=true", "publish=true"], "the study as a whole"),
    ],
)
def test_a_wrong_line_is_refused_before_anything_is_trained(
    tiny: Path, typed: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*typed, f"out={tiny}"]) == 2
    assert expected in capsys.readouterr().err
    assert not tiny.exists()


def test_a_wrong_row_among_right_ones_is_refused_too(
    add_study: AddStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_study("wrong", TINY.replace("model=standard", "model=nothing"))
    assert main(["wrong", "out=kept"]) == 2
    said = capsys.readouterr().err
    assert "no such model" in said
    assert "in row 'only: a mixture'" in said
    assert not (tmp_path / "kept").exists()


def test_a_mixture_without_a_baseline_is_refused(
    add_study: AddStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = "      - {label: like it, matches: dense, budget: active_flops}\n    contrasts:"
    add_study("wrong", TINY.replace("    contrasts:", row))
    assert main(["wrong", "out=kept"]) == 2
    assert "model=dense is a dense network itself" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()


def test_a_run_that_fails_is_named_and_the_others_are_kept(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = execution.line.main
    monkeypatch.setattr(
        execution.line, "main", lambda words: 1 if "model=dense" in words else train(words)
    )
    assert main(["tiny", "seeds=1", f"out={tiny}"]) == 1
    assert "failed: python -m moe_lab.train dataset=synthetic" in capsys.readouterr().err
    assert [row["label"] for row in results(tiny)["parts"][0]["rows"]] == ["a mixture"]


@pytest.mark.slow
@pytest.mark.parametrize("code", [130, 143])
def test_a_stopped_study_says_how_to_go_on_and_does(
    tiny: Path, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = execution.line.main
    asked: list[list[str]] = []

    def stop_at_the_mixture(words: list[str]) -> int:
        asked.append(words)
        run = tiny / "only" / "a_mixture" / "seed0" / "run"
        if "model=standard" not in words or (run / "config.yaml").exists():
            return train(words)
        run.mkdir()
        (run / "config.yaml").touch()  # and no summary: as if the process had been killed
        return code

    monkeypatch.setattr(execution.line, "main", stop_at_the_mixture)
    typed = ["tiny", "seeds=1", f"out={tiny}", "dataset.source.num_test=90"]
    assert main(typed) == code
    assert f"python -m moe_lab study {' '.join(typed)}\n" in capsys.readouterr().err
    assert not (tiny / "results.json").exists()

    marker = tiny / "only" / "a_mixture" / "seed0" / "run" / "from_before"
    marker.touch()
    (marker.parent / "config.yaml").unlink()
    (marker.parent / "config.yaml").touch()
    main(typed)
    assert "resume=true" in asked[-1]
    assert marker.exists()  # the run went on in its folder
