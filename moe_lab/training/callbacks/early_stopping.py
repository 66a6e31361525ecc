"""Stop when validation no longer improves."""

from __future__ import annotations

from lightning.pytorch.callbacks import Callback, EarlyStopping


def early_stopping(patience: int | None, monitor: str, min_delta: float) -> Callback | None:
    """Stop after `patience` validations without improvement; None (never) without a patience."""
    if patience is None:
        return None
    mode = "max" if monitor == "val_accuracy" else "min"
    return EarlyStopping(monitor=monitor, mode=mode, patience=patience, min_delta=min_delta)
