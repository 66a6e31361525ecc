"""A finished run gets more epochs where it would have gone the same way with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training.test_resume import NOT_SAME, lines_of

Train = Callable[..., tuple[int, Path]]


@pytest.mark.parametrize("scheduler", ["constant", "plateau"])
def test_a_lengthened_run_equals_one_of_that_length(scheduler: str, train: Train) -> None:
    words = (f"scheduler={scheduler}", "router=noisy_top_k", "expert.dropout=0.2")
    _, whole = train(*words, "trainer.max_epochs=3")
    _, run = train(*words, "trainer.max_epochs=1")
    before = (run / "summary.json").read_bytes()
    code, _ = train(*words, "trainer.max_epochs=3", f"run_dir={run}", "resume=true")
    assert code == 0
    assert lines_of(run / "metrics.jsonl") == lines_of(whole / "metrics.jsonl")
    found, wanted = (summary(folder) for folder in (run, whole))
    assert found == wanted
    assert (run / "summary_1_epochs.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("scheduler=warmup_cosine",), "its learning rate follows a curve over all of its 1 "),
        (("scheduler=constant", "temperature=linear"), "moves over all of its 1 epochs"),
        (
            ("scheduler=constant", "loss.terms.importance.schedule.end=0.5"),
            "moves over all of its 1 epochs",
        ),
    ],
)
def test_a_run_that_would_have_gone_another_way_is_not_lengthened(
    words: tuple[str, ...], why: str, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = train(*words, "trainer.max_epochs=1")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    code, _ = train(*words, "trainer.max_epochs=3", f"run_dir={run}", "resume=true")
    assert code == 2
    assert why in " ".join(capsys.readouterr().err.split())
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_is_not_shortened(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    _, run = train("scheduler=constant", "trainer.max_epochs=2")
    line = ("scheduler=constant", "trainer.max_epochs=1", f"run_dir={run}", "resume=true")
    assert train(*line)[0] == 2
    assert "trainer.max_epochs: 2 -> 1" in capsys.readouterr().err


def summary(run: Path) -> dict[str, Any]:
    content = json.loads((run / "summary.json").read_text())
    return {key: value for key, value in content.items() if key not in NOT_SAME}
