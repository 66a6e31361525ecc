"""The evaluation entry point."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_lab.commands.eval import main
from tests.conftest import Trained

ReadJSON = Callable[[Path], dict[str, Any]]


def test_evaluation_repeats_the_accuracy_of_the_run(trained: Trained, read_json: ReadJSON) -> None:
    run = trained("trainer.max_epochs=2")
    summary = read_json(run / "summary.json")
    assert main([f"run={run}"]) == 0
    test = read_json(run / "eval_test_best.json")
    assert test["accuracy"] == pytest.approx(summary["test_accuracy"])
    assert test["load_cv"] == pytest.approx(summary["load_cv"], abs=1e-6)
    assert main([f"run={run}", "split=val", "checkpoint=last", "eval_batch_size=7"]) == 0
    assert 0 <= read_json(run / "eval_val_last.json")["accuracy"] <= 1
    assert main([f"run={run}", "split=train"]) == 0


def test_bad_requests_end_with_code_2(
    tmp_path: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained()
    for line, expected in (
        ([f"run={tmp_path}"], "holds no run"),
        ([], "has no value"),
        ([f"run={run}", "split=tset"], "one of train | val | test"),
        ([f"run={run}", "runn=1"], "no key 'runn'"),
    ):
        assert main(line) == 2, line
        assert expected in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["truncated", "empty", "missing"])
def test_a_damaged_checkpoint_is_named(
    damage: str, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained()
    checkpoint = run / "checkpoints" / "best.ckpt"
    content = checkpoint.read_bytes()
    if damage == "missing":
        checkpoint.unlink()
    else:
        checkpoint.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    assert main([f"run={run}"]) == 1
    error = capsys.readouterr().err
    assert "best.ckpt" in error
    assert "Traceback" not in error


def test_other_data_than_the_run_was_trained_on_are_refused(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained()
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("prototype_seed: 0", "prototype_seed: 1"))
    (run / "checksums.json").unlink()  # or the configuration would be refused for itself
    assert main([f"run={run}"]) == 1
    assert "the run was trained with" in capsys.readouterr().err
