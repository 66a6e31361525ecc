"""Lines that a user is told to type do what they say."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from moe_lab.config.check import check_line
from moe_lab.config.launch import folded
from moe_lab.config.typed import from_here, line_that_goes_on, shell_line


@pytest.mark.parametrize(
    ("started_as", "expected"),
    [
        ("/usr/bin/moe-lab", "moe-lab eval outputs/a"),
        ("/src/moe_lab/__main__.py", "python -m moe_lab eval outputs/a"),
        ("/src/moe_lab/train.py", "python -m moe_lab eval outputs/a"),
    ],
)
def test_a_command_is_spelled_as_this_process_was_started(
    started_as: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [started_as, "train"])
    assert shell_line("eval", ["outputs/a"]) == expected


def test_several_processes_are_started_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    line = shell_line("train", ["trainer=ddp"])
    assert line == "torchrun --nproc-per-node=2 -m moe_lab train trainer=ddp"


@pytest.mark.parametrize("folder", ["plain", "with blank", "a=b,c", "it's [1]"])
def test_the_line_that_goes_on_composes_to_the_same_run(folder: str, tmp_path: Path) -> None:
    words = ["model=dense", "init_parts=[backbone, experts]", "tags=['a b']", "run_dir=elsewhere"]
    line = line_that_goes_on(words, tmp_path / folder)
    *_, command, first, parts, tags, place, resume = shlex.split(line)
    assert command == "train"
    assert (first, parts, tags, resume) == (*words[:3], "resume=true")
    (job,) = check_line("train", [first, parts, tags, place, resume])
    assert job.config.run_dir == str(tmp_path / folder)
    assert job.config.resume


def test_a_path_below_the_current_folder_is_shown_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_here(tmp_path / "outputs" / "a") == "outputs/a"
    assert from_here("/elsewhere/a") == "/elsewhere/a"


def test_an_error_is_folded_below_the_text_behind_its_label() -> None:
    line = "  do:       lower optimizer.lr, or set trainer.gradient_clip_val=1"
    assert folded(line, 40).splitlines() == [
        "  do:       lower optimizer.lr, or set",
        "            trainer.gradient_clip_val=1",
    ]
    path = "  wrong:    " + "/folder" * 20
    assert folded(path, 40).splitlines()[-1].strip() == "/folder" * 20  # may still be copied
