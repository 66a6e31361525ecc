"""Stop when validation no longer improves."""

from __future__ import annotations

from lightning.pytorch.callbacks import Callback, EarlyStopping


def early_stopping(patience: int | None, monitor: str, min_delta: float) -> Callback | None:
    """Stop after `patience` validations without improvement; None (never) without a patience."""
    if patience is None:
        return None
    mode = "max" if monitor == "val_accuracy" else "min"
    return Patience(monitor=monitor, mode=mode, patience=patience, min_delta=min_delta)


class Patience(EarlyStopping):
    """Lightning's early stopping, which says in the summary that it has stopped a run."""

    status_if_stopped = "done"

    @property
    def stop_reason(self) -> str | None:
        if self.stopping_reason_message is None:
            return None
        if self.wait_count < self.patience:  # the value itself was the reason
            return f"{self.monitor} became NaN or infinite"
        validations = f"{self.wait_count} validation{'s' * (self.wait_count > 1)}"
        return f"{self.monitor} did not improve in {validations}"
