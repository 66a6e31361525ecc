"""The average of the weights: what is averaged, evaluated and saved, and going on exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

import moe_lab
from moe_lab.training.callbacks import ema
from moe_lab.training.callbacks.ema import TRAINED, WeightAverage, averaged_tensors

Train = Callable[..., tuple[int, Path]]
ReadJSON = Callable[[Path], dict[str, Any]]


class Counting(LightningModule):
    """Gradient 1 on `weight` with lr 1: after step n it is -n. A counter and a bias count as a
    router's do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("bias", torch.zeros(2))
        self.seen: list[list[float]] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.count += 1
        self.bias += 1.0
        with torch.no_grad():
            self.norm(torch.full((2, 2), float(self.count)))
        return self.weight.sum() + 0 * self.norm.weight.sum() + 0 * self.norm.bias.sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.seen.append([float(self.weight[0]), float(self.bias[0]), float(self.count)])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def fitted(decay: float, epochs: int = 2, **options: Any) -> tuple[Counting, WeightAverage]:
    average, module, data = WeightAverage(decay), Counting(), torch.zeros(3, 1)
    trainer = Trainer(
        accelerator="cpu", max_epochs=epochs, callbacks=[average], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, **options,
    )  # fmt: skip
    trainer.fit(module, data, torch.zeros(1, 1))
    return module, average


def averages(decay: float, values: list[float], start: float) -> list[float]:
    found = [start]
    for step, value in enumerate(values, 1):
        kept = min(decay, (1 + step) / (10 + step))
        found.append(kept * found[-1] + (1 - kept) * value)
    return found


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.99])
def test_weights_and_running_statistics_are_averaged_and_counters_are_not(decay: float) -> None:
    module, _ = fitted(decay)
    expected = averages(decay, [-1.0, -2, -3, -4, -5, -6], 0.0)
    after_an_epoch, after_two = ([expected[n], n, n] for n in (3, 6))
    assert module.seen[0] == pytest.approx(after_an_epoch)
    assert module.seen[1] == pytest.approx(after_two)
    assert module.weight[0].item() == pytest.approx(expected[6])
    assert module.count == 6
    assert module.bias.tolist() == [6.0, 6.0]
    running = [0.0]
    for step in range(1, 7):
        running.append(0.9 * running[-1] + 0.1 * step)
    mean = averages(decay, running[1:], 0.0)[6]
    assert module.norm.running_mean is not None
    assert module.norm.running_mean[0].item() == pytest.approx(mean)
    assert module.norm.num_batches_tracked == 6
    assert module.frozen.tolist() == [1.0, 1.0]


def test_summed_gradients_make_one_step_of_the_average() -> None:
    module, average = fitted(0.5, epochs=1, accumulate_grad_batches=3)
    assert module.weight[0].item() == pytest.approx(averages(0.5, [-1.0], 0.0)[1])
    assert average._steps == 1


def test_what_does_not_learn_is_not_averaged() -> None:
    names = set(averaged_tensors(Counting()))
    assert names == {
        "weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
    }  # fmt: skip


def test_without_a_decay_there_is_no_callback_and_bad_ones_are_refused() -> None:
    assert ema(None) is None
    with pytest.raises(ValueError, match="decay must be at least 0 and below 1"):
        ema(1.0)


def test_best_weights_and_test_are_those_of_the_average(train: Train, read_json: ReadJSON) -> None:
    words = ("callbacks.ema.decay=0.9", "trainer.max_epochs=3", "router=sigmoid_balanced",
             "router.bias_rate=0.01")  # fmt: skip
    code, run = train(*words)
    assert code == 0
    _, without = train(*words[1:])
    summary = read_json(run / "summary.json")
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    raw = torch.load(without / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    # Training itself is the same, and so are counters and the router's bias.
    for name, tensor in raw.items():
        trained = last[TRAINED].get(name, last["state_dict"][name])
        assert torch.equal(tensor, trained), name
    assert not torch.equal(last["state_dict"]["model.experts.first.weight"],
                           raw["model.experts.first.weight"])  # fmt: skip
    assert raw["model.router.bias"].abs().sum() > 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = max(line["val_accuracy"] for line in lines if "val_accuracy" in line)
    assert summary["val_accuracy"] == pytest.approx(best)
    classifier = moe_lab.load(run)
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert TRAINED not in torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert torch.equal(classifier.state_dict()["model.experts.first.weight"],
                       saved["model.experts.first.weight"])  # fmt: skip
    again = [line["val_loss"] for line in lines if line.get("val_accuracy") == best]
    assert any(summary["val_loss"] == pytest.approx(loss, rel=1e-5) for loss in again)


@pytest.mark.slow
def test_a_run_that_goes_on_ends_with_the_same_weights_and_averages(
    train: Train, read_json: ReadJSON, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from moe_lab.training.callbacks import Stopwatch

    class Killed(BaseException):
        pass

    words = ("callbacks.ema.decay=0.9", "trainer.max_epochs=3", "backbone=conv",
             "backbone.channels=[4]", "dataset.augment.mixup=0.4", "dataset.augment.cutmix=1",
             "dataset.augment.flip=alternating", "optimizer=muon",
             "scheduler=one_cycle")  # fmt: skip
    _, whole = train(*words)
    original = Stopwatch.on_train_batch_end

    def kill(self: Stopwatch, trainer: Trainer, module: LightningModule, *rest: Any) -> None:
        original(self, trainer, module, *rest)
        if trainer.current_epoch == 1 and rest[-1] == 1:
            raise Killed

    place = f"run_dir={tmp_path / 'killed'}"
    with monkeypatch.context() as patch:
        patch.setattr(Stopwatch, "on_train_batch_end", kill)
        with pytest.raises(Killed):
            train(*words, place)
    code, killed = train(*words, place, "resume=true")
    assert code == 0
    killed = tmp_path / "killed"
    states = [
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, killed)
    ]
    for part in ("state_dict", TRAINED):
        for name, tensor in states[0][part].items():
            assert torch.equal(tensor, states[1][part][name]), name
    ignored = {"train_seconds", "images_per_second", "run_dir"}
    first, second = (read_json(run / "summary.json") for run in (whole, killed))
    assert {k: v for k, v in first.items() if k not in ignored} == {
        k: v for k, v in second.items() if k not in ignored
    }
