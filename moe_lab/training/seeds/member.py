"""One seed of a batch: its images, its validation, and the record that every run leaves."""

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from moe_lab.data.resident import ResidentLoader
from moe_lab.training import build
from moe_lab.training.callbacks import CollapseAlarm, HealthMonitor
from moe_lab.training.callbacks.progress import epoch_values
from moe_lab.training.run import TrainingRun

log = logging.getLogger("moe_lab")


class Member:
    """What of a seed is its own while several train together."""

    def __init__(self, run: TrainingRun) -> None:
        build.fill_in_data(run.config, run.data)
        lightning.seed_everything(run.config.seed, verbose=False)
        run.record_start()
        self.run = run
        self.classifier, self.trainer = run.build()
        device = self.trainer.strategy.root_device
        self.classifier.to(device)
        self.images: ResidentLoader = run.data.loader("train", device)
        self.held_out: ResidentLoader = run.data.loader("val", device)
        self.best: float | None = None  # what the checkpoint callback monitors, larger is better
        self.seen: dict[str, float] = {}  # the last value of everything that was logged

    @property
    def seed(self) -> int:
        return int(self.run.config.seed)

    def start(self) -> None:
        """Once, before the first step."""
        self.watchers = [c for c in callbacks_of(self.trainer) if isinstance(c, HealthMonitor)]
        for watcher in self.watchers:
            watcher.setup(self.trainer, self.classifier, "fit")
        for callback in callbacks_of(self.trainer):
            if isinstance(callback, CollapseAlarm):
                callback.on_train_start(self.trainer, self.classifier)

    def log(self, values: dict[str, Any], step: int, epoch: int) -> None:
        """A line of metrics.jsonl, in float32 as Lightning keeps them."""
        plain = {name: as_float32(value) for name, value in values.items()}
        self.seen.update(plain)
        for logger in self.run.loggers:
            logger.log_metrics({**plain, "epoch": epoch}, step)

    def watch(self, routings: dict[str, Tensor], index: int, steps: int, epoch: int) -> None:
        """Show the routing of a step to the callback that counts the use of experts."""
        if self.watchers and routings:
            stand_at(self.trainer, steps, epoch)
            for watcher in self.watchers:
                outputs = {"weights": routings}
                watcher.on_train_batch_end(self.trainer, self.classifier, outputs, None, index)

    def end_epoch(self, epoch: int, steps: int, sums: Tensor, started: float) -> None:
        """Validate, keep the weights if they are the best so far, and write it all down.

        `sums` [3] are the loss, the correct answers and the images of the epoch's training.
        """
        loss, correct, images = sums.tolist()
        self.validate(epoch, steps)
        self.keep_best(epoch, steps)
        means = {"train_epoch_loss": loss / images, "train_accuracy": correct / images}
        self.log(means, steps - 1, epoch)
        shown = epoch_values(self.seen)
        of = self.trainer.max_epochs
        seconds = time.perf_counter() - started
        log.info("seed %d, epoch %d/%s  %s  %.1f s", self.seed, epoch + 1, of, shown, seconds)

    @torch.inference_mode()
    def validate(self, epoch: int, steps: int) -> None:
        evaluation = self.classifier.evaluation
        evaluation.reset()
        self.classifier.eval()
        for images, target, *_ in self.held_out:
            evaluation.update(self.classifier(images), target)
        self.classifier.train()
        values = {**evaluation.compute(), **evaluation.loads()}
        self.log({f"val_{name}": value for name, value in values.items()}, steps - 1, epoch)

    def keep_best(self, epoch: int, steps: int) -> None:
        """best.ckpt by the rule of the checkpoint callback: strictly better than all before."""
        for callback in callbacks_of(self.trainer):
            if not isinstance(callback, ModelCheckpoint) or callback.monitor is None:
                continue
            sign = 1 if callback.mode == "max" else -1
            value = sign * self.seen[callback.monitor]
            value = -math.inf if math.isnan(value) else value
            if self.best is None or value > self.best:
                self.best = value
                self.save("best", epoch, steps)

    def finish(self, steps: int, epochs: int) -> dict[str, Any]:
        """The summary, once the last weights are saved and the best ones tested."""
        self.save("last", epochs - 1, steps)
        stand_at(self.trainer, steps, epochs)
        return self.run.summarise(0, self.trainer, self.classifier)

    def save(self, name: str, epoch: int, steps: int) -> None:
        """A checkpoint with the weights alone, which no run goes on from."""
        content: dict[str, Any] = {
            "epoch": epoch,
            "global_step": steps,
            "pytorch-lightning_version": lightning.__version__,
            # Weights are views: without a copy a file would hold those of all seeds.
            "state_dict": {k: v.clone() for k, v in self.classifier.state_dict().items()},
        }
        self.classifier.on_save_checkpoint(content)
        path = self.run.directory.checkpoint(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(f"{path}.partial")
        torch.save(content, partial)
        os.replace(partial, path)


def callbacks_of(trainer: Trainer) -> list[Any]:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


def stand_at(trainer: Trainer, steps: int, epochs: int) -> None:
    """Let a trainer that did not train say how far training has come."""
    loop = trainer.fit_loop.epoch_loop
    loop.automatic_optimization.optim_progress.optimizer.step.total.completed = steps
    loop.on_load_checkpoint({"_batches_that_stepped": steps})  # what lines of metrics go by
    trainer.fit_loop.epoch_progress.current.completed = epochs


def as_float32(value: Any) -> float:
    return float(torch.as_tensor(value, dtype=torch.float32))
