"""Tells a search how each epoch went, and ends the training where the search sees no hope."""

from __future__ import annotations

from typing import Any, Protocol

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn


class Judge(Protocol):
    """What a search answers to the course of one of its trials."""

    def report(self, val_accuracy: float, epoch: int) -> None: ...

    def is_hopeless(self) -> bool: ...


class Pruning(Callback):
    """Reports the validation accuracy of every epoch and asks whether to go on.

    The training ends as with early stopping, so that its last checkpoint and log are complete.
    The last epoch is never asked about: by then the trial is paid for.
    """

    status_if_stopped = "pruned"

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.stop_reason: str | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        epoch = trainer.current_epoch
        self.judge.report(float(trainer.callback_metrics["val_accuracy"]), epoch)
        is_over = trainer.should_stop or epoch + 1 == trainer.max_epochs
        if not is_over and self.judge.is_hopeless():
            self.stop_reason = f"the search saw no hope after epoch {epoch + 1}"
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"stop_reason": self.stop_reason}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.stop_reason = state_dict["stop_reason"]
