"""How a callback that ends a training before its last epoch says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from lightning.pytorch.callbacks import Callback


@runtime_checkable
class EndsTraining(Protocol):
    """A callback that may set `trainer.should_stop`."""

    status_if_stopped: str  # what summary.json calls a run that it has ended

    @property
    def stop_reason(self) -> str | None:
        """Why it has ended the training; None while it has not."""


def stopped_by(callbacks: Iterable[Callback]) -> EndsTraining | None:
    """The first callback that has ended the training, if one has."""
    able = (callback for callback in callbacks if isinstance(callback, EndsTraining))
    return next((callback for callback in able if callback.stop_reason is not None), None)
