"""A progress bar on a terminal, plain lines elsewhere, and the same lines in train.log always."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, RichProgressBar
from rich.console import RenderableType

log = logging.getLogger("moe_lab")
SHOWN = ("train_epoch_loss", "train_accuracy", "val_loss", "val_accuracy", "val_load_cv")


def progress(style: str = "auto") -> list[Callback]:
    """The display of a run: `bar`, `lines`, `none`, or `auto`, which looks whether it writes to a
    terminal.
    """
    if style == "auto":
        style = "bar" if sys.stdout.isatty() else "lines"
    lines = ProgressLines(on_screen=style == "lines")
    return [HealthProgressBar(refresh_rate=10, leave=True), lines] if style == "bar" else [lines]


class HealthProgressBar(RichProgressBar):
    """Lightning's progress bar with room for one more thing below it, which goes when the bar
    stops.
    """

    below: RenderableType | None = None
    _is_stopping = False

    def show(self, renderable: RenderableType | None) -> None:
        """Put something below the bar from the next refresh on; None takes it away."""
        self.below = renderable

    def _init_progress(self, trainer: Trainer) -> None:
        before = self.progress
        super()._init_progress(trainer)
        if self.progress is None or self.progress is before:
            return
        bars = self.progress.get_renderables

        def bars_and_below() -> Iterable[RenderableType]:
            yield from bars()
            if self.below is not None and not self._is_stopping:
                yield self.below

        # One live display owns the screen: a second one beside it would flicker. Lightning names
        # the class of its progress itself, so what rich means to be overridden is set here.
        self.progress.get_renderables = bars_and_below  # type: ignore[method-assign]

    def _stop_progress(self) -> None:
        self._is_stopping = True
        super()._stop_progress()
        self._is_stopping = False


class ProgressLines(Callback):
    """Writes a line after every epoch to the log, and to the screen if asked."""

    def __init__(self, on_screen: bool = True) -> None:
        self.on_screen = on_screen
        self._started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        shown = "  ".join(f"{name} {float(metrics[name]):.4f}" for name in SHOWN if name in metrics)
        seconds = time.perf_counter() - self._started
        line = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {shown}  {seconds:.1f} s"
        log.info("%s", line)
        if self.on_screen:
            print(line, flush=True)
