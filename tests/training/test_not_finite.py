"""A run whose numbers are no longer any has failed, whenever that happened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from moe_lab.commands.eval import main as evaluate
from moe_lab.training.classifier import Classifier
from moe_lab.training.resume import find_checkpoint
from moe_lab.training.run_directory import RunDirectory

Train = Callable[..., tuple[int, Path]]
SMALL = ("model=dense", "dataset.batch_size=90")  # three steps an epoch


def break_weights(monkeypatch: pytest.MonkeyPatch, epoch: int, batch: int, value: float) -> None:
    """Let one weight become `value` after a step, so that no loss of that step knows of it."""
    ends = Classifier.on_train_batch_end

    def on_train_batch_end(self: Classifier, outputs: object, images: object, index: int) -> None:
        ends(self, outputs, images, index)
        if (self.current_epoch, index) == (epoch, batch):
            next(self.model.parameters()).data.view(-1)[0] = value

    monkeypatch.setattr(Classifier, "on_train_batch_end", on_train_batch_end)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("every", [1, 3])  # epochs between validations: one with the last, or none
def test_weights_that_break_in_the_last_step_fail_the_run(
    train: Train, monkeypatch: pytest.MonkeyPatch, value: float, every: int
) -> None:
    break_weights(monkeypatch, epoch=1, batch=2, value=value)
    code, run = train(*SMALL, "trainer.max_epochs=2", f"trainer.check_val_every_n_epoch={every}")
    assert code == 1
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "the weights became NaN or infinite in epoch 2" in summary["error"]
    assert "test_accuracy" not in summary
    if every == 1:  # the epoch before was fine, and its weights are still there
        found = find_checkpoint(RunDirectory(run))
        assert found is not None
        assert found.epochs == 1


def test_weights_that_are_no_numbers_are_not_evaluated(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    code, run = train(*SMALL)
    assert code == 0
    path = run / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    weights = [value for name, value in content["state_dict"].items() if name.startswith("model.")]
    weights[0].view(-1)[0] = torch.nan
    torch.save(content, path)
    (run / "checksums.json").unlink()  # or the file would be refused for itself
    assert evaluate([f"run={run}"]) == 1
    assert "the weights are NaN or infinite" in " ".join(capsys.readouterr().err.split())


def test_an_answer_that_is_no_number_fails_the_run_though_its_weights_are(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Classifier._report

    def no_number(self: Classifier, split: str) -> None:
        self.evaluation.whole["ClassificationStatistics"].loss += torch.nan
        report(self, split)

    monkeypatch.setattr(Classifier, "_report", no_number)
    code, run = train(*SMALL)
    summary = json.loads((run / "summary.json").read_text())
    assert (code, summary["status"]) == (1, "failed")
    assert "loss is NaN" in summary["error"]
