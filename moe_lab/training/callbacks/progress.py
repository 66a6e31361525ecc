"""How far a run has come: a row after every epoch, in train.log always, and a bar on a terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from moe_lab.metrics.registry import SPLIT_WORDS, Recorded, shown_in
from moe_lab.training.callbacks.live_bar import LiveBar
from moe_lab.training.pace import Pace, batches_done, batches_of_run, clock_time

log = logging.getLogger("moe_lab")


def progress(style: str = "auto") -> list[Callback]:
    """The display of a run: `bar`, `lines`, `none`, or `auto`, which looks whether it writes to a
    terminal. `bar` has the lines too, above it.
    """
    if style == "auto":
        style = "bar" if sys.stdout.isatty() else "lines"
    lines = ProgressLines(on_screen=style != "none")
    return [LiveBar(), lines] if style == "bar" else [lines]


class ProgressLines(Callback):
    """Writes a line after every epoch to the log, and a row of a table to the screen if asked."""

    def __init__(self, on_screen: bool = True) -> None:
        self.on_screen = on_screen
        self.pace = Pace()
        self._started = 0.0
        self._headings: list[str] = []  # of the rows so far

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.pace.count(batches_done(trainer, batch_idx + 1))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
        seconds = time.perf_counter() - self._started
        left = clock_time(self.pace.seconds_until(batches_of_run(trainer)))
        log.info("epoch %s  %s  %.1f s, %s left", epoch, epoch_values(metrics), seconds, left)
        if self.on_screen:
            self._print_row(epoch, metrics, f"{seconds:.1f} s", left)

    def _print_row(self, epoch: str, metrics: dict[str, float], seconds: str, left: str) -> None:
        shown = [
            (found.short, found.metric.brief(metrics[found.key])) for found in of_epoch(metrics)
        ]
        cells = [("epoch", epoch), *shown, ("time", seconds), ("left", left)]
        headings = [heading for heading, _ in cells]
        widths = [max(8 if "%" in text else 7, len(heading)) for heading, text in cells]
        if headings != self._headings:  # not all is measured after every epoch
            self._headings = headings
            print(row(headings, widths), flush=True)
        print(row([text for _, text in cells], widths), flush=True)


def of_epoch(recorded: Mapping[str, float]) -> list[Recorded]:
    """What of the recorded numbers is shown after an epoch: by split, and the losses first."""
    found = [found for found in shown_in("epoch", recorded) if not found.layer]
    return sorted(found, key=lambda f: (list(SPLIT_WORDS).index(f.split), f.metric.unit != "nats"))


def epoch_values(recorded: Mapping[str, float]) -> str:
    """These numbers by their names: `val_accuracy 0.9050`."""
    return "  ".join(f"{found.key} {recorded[found.key]:.4f}" for found in of_epoch(recorded))


def row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One line of the table of epochs, which has 80 columns at most; cells are right-aligned."""
    return "  ".join(text.rjust(width) for text, width in zip(cells, widths, strict=True))
