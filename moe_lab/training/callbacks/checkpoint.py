"""best.ckpt and last.ckpt."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor

from moe_lab.errors import UserError


def checkpoint(directory: str, monitor: str = "val_accuracy") -> list[Callback]:
    """Keep the weights of the best validation and the full state of the last."""
    mode = "max" if monitor == "val_accuracy" else "min"
    shared: dict[str, Any] = {"dirpath": directory, "enable_version_counter": False}
    best = BestCheckpoint(
        filename="best", monitor=monitor, mode=mode, save_weights_only=True, **shared
    )
    # After every epoch, validated or not: by then all of its lines are written.
    last = LastCheckpoint(filename="last", monitor=None, save_on_train_epoch_end=True, **shared)
    return [best, last, ConfirmWritten(Path(directory))]


class LastCheckpoint(ModelCheckpoint):
    """Keeps what a run needs to go on, also after its folder was moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(moved(state_dict, str(self.dirpath)))


class BestCheckpoint(ModelCheckpoint):
    """Keeps the weights of the best validation; of equally good ones those of the smaller
    validation loss, and then of the later epoch.

    A few hundred validation images give equal accuracies often, and the first epoch that reaches
    one is the least trained of them.
    """

    loss = math.inf  # validation loss of the weights that are kept

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether these weights are kept in place of the best so far."""
        loss = float(trainer.callback_metrics.get("val_loss", math.inf))
        is_better = super().check_monitor_top_k(trainer, current)
        if not is_better and current is not None and self.best_model_score is not None:
            is_equal = float(current) == float(self.best_model_score)
            # Decided together, or processes that differ by a rounding would wait for each other.
            is_better = trainer.strategy.reduce_boolean_decision(is_equal and loss <= self.loss)
        if is_better:
            self.loss = math.inf if math.isnan(loss) else loss
        return is_better

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "loss": self.loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(moved(state_dict, str(self.dirpath)))
        self.loss = state_dict["loss"]


def moved(state_dict: dict[str, Any], folder: str) -> dict[str, Any]:
    """The state of a checkpoint callback for another folder: with the recorded one Lightning would
    forget which score the best weights have, and so replace them by worse ones.
    """

    def here(path: str) -> str:
        return str(Path(folder, Path(path).name)) if path else path

    paths = ("best_model_path", "kth_best_model_path", "last_model_path")
    scores = {here(path): score for path, score in state_dict["best_k_models"].items()}
    return {
        **state_dict,
        "dirpath": folder,
        "best_k_models": scores,
        **{name: here(state_dict[name]) for name in paths},
    }


class ConfirmWritten(Callback):
    """Fails a run whose checkpoints could not be written: Lightning skips a file it may not write
    without a word.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Once and not at every write: a folder that goes away later is a fault to be told.
        if trainer.is_global_zero:
            self.directory.mkdir(parents=True, exist_ok=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not (self.directory / "best.ckpt").is_file():
            raise UserError(
                f"no checkpoint could be written to {self.directory}",
                "free space and write permission there and in the folder for temporary files",
                "free space, or choose another run_dir",
            )
