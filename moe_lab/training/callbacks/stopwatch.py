"""How long training took, without validation."""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class Stopwatch(Callback):
    """Seconds and images spent in training batches, and the epochs completed."""

    def __init__(self) -> None:
        self.train_seconds = 0.0
        self.images = 0
        self.epochs = 0
        self._since: float | None = None

    @property
    def images_per_second(self) -> float:
        return self.images / self.train_seconds if self.train_seconds else 0.0

    def state_dict(self) -> dict[str, Any]:
        return {
            "train_seconds": self.train_seconds,
            "images": self.images,
            "epochs": self.epochs,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.train_seconds, self.images = state_dict["train_seconds"], state_dict["images"]
        self.epochs = state_dict["epochs"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = self._now(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images += len(batch[1]) * trainer.world_size

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop(pl_module)
        self.epochs += 1

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._stop(pl_module)

    def _stop(self, pl_module: LightningModule) -> None:
        if self._since is not None:
            self.train_seconds += self._now(pl_module) - self._since
            self._since = None

    @staticmethod
    def _now(pl_module: LightningModule) -> float:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        return time.perf_counter()
