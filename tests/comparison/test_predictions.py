"""Predictions of trained weights, and McNemar's test on them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from moe_lab.comparison.found_runs import find_runs
from moe_lab.comparison.grouping import group_runs
from moe_lab.comparison.predictions import FILE, AnswerMatcher, predictions_of
from moe_lab.errors import UserError
from tests.conftest import Trained


def test_predictions_have_the_accuracy_of_the_run_and_are_kept(trained: Trained) -> None:
    run = trained()
    accuracy = json.loads((run / "summary.json").read_text())["test_accuracy"]
    found = predictions_of(run)
    assert found.correct.mean() == pytest.approx(accuracy)
    assert len(found.target) == 100
    kept, checkpoint = run / FILE, run / "checkpoints" / "best.ckpt"
    checkpoint.write_bytes(b"")
    os.utime(checkpoint, (1, 1))  # older than the predictions: they still hold
    assert (predictions_of(run).predicted == found.predicted).all()
    os.utime(kept, (0, 0))
    with pytest.raises(UserError, match=r"best\.ckpt"):
        predictions_of(run)


def test_answers_are_matched_seed_by_seed(trained: Trained, tmp_path: Path) -> None:
    for words in ((), ("seed=1",), ("seed=1", "model=dense"), ("seed=2", "model=dense")):
        trained(*words)
    first, second = group_runs(find_runs([tmp_path])[0])[0]
    matched = AnswerMatcher()(first, second)
    assert list(matched) == [(1, 0)]
    runs = {run.seed: run for run in (*second.runs, *first.runs)}
    gap = runs[1].summary["test_accuracy"] - second.values("test_accuracy")[1, 0]
    assert matched[1, 0].num_images == 100
    assert matched[1, 0].only_first - matched[1, 0].only_second == pytest.approx(100 * gap)
