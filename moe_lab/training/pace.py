"""How long a training still takes, at the speed that it has had so far."""

from __future__ import annotations

import time
from collections.abc import Callable

from lightning import Trainer


class Pace:
    """Counts the batches of one process and foretells the seconds of those that are left.

    The clock starts after the first batch, which compiles kernels and fills caches, and runs
    through validations.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._first: tuple[float, int] | None = None  # time and batches done, after the first one
        self._last: tuple[float, int] = (0.0, 0)

    def count(self, done: int) -> None:
        """Take note that `done` batches are behind, those before a resumption included."""
        self._last = (self.clock(), done)
        if self._first is None:
            self._first = self._last

    def seconds_until(self, total: int) -> float | None:
        """Seconds from now until `total` batches are done; None before there is a speed."""
        now, done = self.clock(), self._last[1]
        if self._first is None or done == self._first[1]:
            return None
        per_batch = (now - self._first[0]) / (done - self._first[1])
        return max(0.0, per_batch * (total - done))


def clock_time(seconds: float | None) -> str:
    """Seconds as on a clock, `0:07` or `1:02:33`; a dash where they are not known."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def batches_done(trainer: Trainer, in_epoch: int) -> int:
    """The training batches behind a run, `in_epoch` of them in the current epoch."""
    return trainer.current_epoch * int(trainer.num_training_batches) + in_epoch


def batches_of_run(trainer: Trainer) -> int:
    """The training batches of a run that nothing ends early."""
    assert trainer.max_epochs is not None
    return trainer.max_epochs * int(trainer.num_training_batches)
