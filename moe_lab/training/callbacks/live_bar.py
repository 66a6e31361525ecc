"""The part of the screen that moves: a bar for the epoch, the time left, the routers' panel."""

from __future__ import annotations

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from moe_lab.training.pace import Pace, batches_done, batches_of_run, clock_time

REFRESHES_PER_SECOND = 8
SECONDS_BETWEEN_LOOKS = 1.0  # at the loss: a look waits for the GPU


class LiveBar(Callback):
    """Shows epoch, batch, loss and the time left of epoch and run, on one line of any width.

    There is room for one more thing below it. What is printed meanwhile appears above; both go
    when the stage ends.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.below: RenderableType | None = None
        self.pace = Pace()
        self._live: Live | None = None
        self._label, self._done, self._total = "", 0, 1
        self._left = ""
        self._loss, self._looked = "", 0.0

    def show(self, renderable: RenderableType | None) -> None:
        """Put something below the bar from the next refresh on; None takes it away."""
        self.below = renderable

    def render(self) -> RenderableType:
        """The bar, and what is below it."""
        line = Table.grid(padding=(0, 1), expand=True)
        for ratio in (None, 1, None, None, None):
            line.add_column(ratio=ratio, no_wrap=True)
        bar = ProgressBar(total=self._total, completed=self._done)
        count = f"{self._done}/{self._total}"
        line.add_row(self._label, bar, count, self._loss, self._left)
        return line if self.below is None else Group(line, self.below)

    # ---- training

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._loss = ""
        self._train(trainer, 0)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._live is None:
            return
        self.pace.count(batches_done(trainer, batch_idx + 1))
        self._train(trainer, batch_idx + 1)
        if time.perf_counter() - self._looked > SECONDS_BETWEEN_LOOKS:
            self._looked = time.perf_counter()
            sums = getattr(pl_module, "train_sums", None)  # of the epoch so far
            self._loss = "" if sums is None else f"loss {float(sums[0] / sums[2]):.4f}"

    def _train(self, trainer: Trainer, done: int) -> None:
        """Stand after `done` batches of the current epoch, which is counted from 1."""
        label = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self._begin(label, int(trainer.num_training_batches), done)
        epoch = self.pace.seconds_until(batches_done(trainer, self._total))
        run = self.pace.seconds_until(batches_of_run(trainer))
        self._left = f"left {clock_time(epoch)}, run {clock_time(run)}"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    # ---- evaluation: inside an epoch it takes over the line, alone it has a line of its own

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._evaluate(trainer, "validation", trainer.num_val_batches)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._evaluate(trainer, "test", trainer.num_test_batches)

    def _evaluate(self, trainer: Trainer, label: str, batches: Any) -> None:
        if trainer.state.fn != "fit":
            self._left = self._loss = ""
            self._open(trainer)
        self._begin(label, int(sum(batches)))

    def on_validation_batch_end(self, *arguments: Any, **named: Any) -> None:
        self._done += 1

    def on_test_batch_end(self, *arguments: Any, **named: Any) -> None:
        self._done += 1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit":
            self._close()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    # ---- the display

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._close()

    def _begin(self, label: str, total: int, done: int = 0) -> None:
        self._label, self._total, self._done = label, total, done

    def _open(self, trainer: Trainer) -> None:
        if trainer.is_global_zero and self._live is None:
            self._live = Live(
                get_renderable=self.render,
                console=self.console,
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=True,
            )
            self._live.start()

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
