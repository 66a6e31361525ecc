"""What a run says at its end: the verdict, what follows, the table, and what can be typed next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from moe_lab.analysis.ending import print_ending, verdict_of
from moe_lab.analysis.page.run_files import read_record
from moe_lab.training.run_directory import RunDirectory
from tests.analysis.page.samples import DENSE, ROUTING, TABLES, write_run

CONFIG: dict[str, Any] = {
    "seed": 0,
    "dataset": {"name": "synthetic"},
    "router": {"_target_": "moe_lab.routers.NoisyTopKRouter", "noise_std": 1.0},
    "loss": {"terms": {"importance": {"weight": 0.05, "schedule": {"end": None}}}},
    "optimizer": {"lr": 0.002},
}


def mixture(path: Path, **changes: Any) -> RunDirectory:
    return write_run(path, {**DENSE, **ROUTING, **changes}, TABLES, CONFIG)


def test_sentences_come_before_the_table_and_commands_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = mixture(tmp_path / "outputs" / "digits")
    (run.path / "report.html").touch()
    print_ending(run)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80

    def place(start: str) -> int:
        return next(i for i, line in enumerate(lines) if line.startswith(start))

    order = [
        "It is right on 85.0 % of 100 test images",
        "Its experts differ by class",
        "by_hand: done",
        "run directory: outputs/digits",
        "report: outputs/digits/report.html",
        "  python -m moe_lab analyze outputs/digits",
        "  python -m moe_lab eval outputs/digits split=val",
    ]
    places = [place(start) for start in order]
    assert places == sorted(places)


def test_what_is_left_out_is_answered_with_keys_of_the_configuration(tmp_path: Path) -> None:
    healthy = verdict_of(read_record(mixture(tmp_path / "healthy")))
    assert not any("back into use" in sentence for sentence in healthy)
    starved = verdict_of(read_record(mixture(tmp_path / "starved", dead_experts=1.0)))
    assert starved[-1] == (
        "To bring experts back into use, raise loss.terms.importance.weight (now 0.05) or "
        "router.noise_std (now 1)."
    )


def test_a_number_keeps_its_unit_on_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = mixture(tmp_path)
    for columns in range(40, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        print_ending(run)
        sentences = capsys.readouterr().out.split("by_hand: done")[0].splitlines()
        assert not any(line.startswith(("%", "=")) for line in sentences)
        assert max(map(len, sentences)) <= columns


def test_an_interrupted_run_offers_nothing_that_needs_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_ending(write_run(tmp_path, {"status": "interrupted", "run_name": "x", "epochs": 2}))
    shown = capsys.readouterr().out
    assert "The run was stopped after 2 epochs" in shown
    assert "analyze" not in shown


def test_a_folder_with_blanks_can_be_typed_as_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = mixture(tmp_path / "my run")
    print_ending(run)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if " analyze " in line]
    assert shlex.split(line)[-1] == str(run.path)
