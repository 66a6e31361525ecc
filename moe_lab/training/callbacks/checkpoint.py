"""best.ckpt and last.ckpt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from moe_lab.errors import UserError


def checkpoint(directory: str, monitor: str = "val_accuracy") -> list[Callback]:
    """Keep the weights of the best validation and the full state of the last."""
    mode = "max" if monitor == "val_accuracy" else "min"
    shared: dict[str, Any] = {"dirpath": directory, "enable_version_counter": False}
    best = ModelCheckpoint(
        filename="best", monitor=monitor, mode=mode, save_weights_only=True, **shared
    )
    last = ModelCheckpoint(filename="last", monitor=None, **shared)
    return [best, last, ConfirmWritten(Path(directory))]


class ConfirmWritten(Callback):
    """Fails a run whose checkpoints could not be written: Lightning skips a file it may not write
    without a word.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not (self.directory / "best.ckpt").is_file():
            raise UserError(
                f"no checkpoint could be written to {self.directory}",
                "free space and write permission there and in the folder for temporary files",
                "free space, or choose another run_dir",
            )
