"""Watches the routers while they train: health.jsonl always, a panel where there is a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from moe_lab.training.callbacks.collapse import CollapseAlarm
from moe_lab.training.callbacks.live_bar import LiveBar
from moe_lab.training.disk import append
from moe_lab.training.health import LayerHealth, UsageWindow, advise, health_panel
from moe_lab.training.run_directory import without_nan


def health(file: str, window: int, every: int) -> Callback:
    """Count the use of experts over `window` steps; look at it every `every` steps."""
    return HealthMonitor(Path(file), window, every)


class HealthMonitor(Callback):
    """Reads `outputs["weights"]`, {layer: weights [B, E]}, of every training step.

    A step is a training batch. At a check it appends a line a layer to `file`, gives the panel to
    the progress bar, and has the collapse alarm judge, each if there is one. A model without a
    router has no layer, and so no file and no panel.
    """

    def __init__(self, file: Path, window: int, every: int) -> None:
        if window < 1 or every < 1:
            raise ValueError(f"window and every must be at least 1, got {window} and {every}")
        self.file, self.window, self.every = file, window, every
        self.alarm: CollapseAlarm | None = None
        self.bar: LiveBar | None = None
        self._windows: dict[str, UsageWindow] = {}
        self._steps = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        self.alarm = next((c for c in callbacks if isinstance(c, CollapseAlarm)), None)
        self.bar = next((c for c in callbacks if isinstance(c, LiveBar)), None)
        if self.alarm is not None:
            self.alarm.is_asked = True

    def state_dict(self) -> dict[str, Any]:
        windows = {layer: window.state_dict() for layer, window in self._windows.items()}
        return {"steps": self._steps, "windows": windows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._steps = state_dict["steps"]
        for layer, state in state_dict["windows"].items():
            self._window(layer).load_state_dict(state)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        weights: dict[str, Tensor] = (outputs or {}).get("weights", {})
        self._steps += 1
        for layer, of_layer in weights.items():
            self._window(layer).add(of_layer)
        if self._windows and (self._steps % self.every == 0 or self._alarm_is_due()):
            self._check(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.bar is not None:
            self.bar.show(None)  # what follows is an evaluation

    def _window(self, layer: str) -> UsageWindow:
        if layer not in self._windows:
            longest = max(self.window, self.alarm.every if self.alarm else 1)
            self._windows[layer] = UsageWindow(longest)
        return self._windows[layer]

    def _alarm_is_due(self) -> bool:
        return self.alarm is not None and self._steps % self.alarm.every == 0

    def _check(self, trainer: Trainer, pl_module: LightningModule) -> None:
        layers = [self._look(trainer, pl_module, layer) for layer in self._windows]
        if not trainer.is_global_zero:
            return
        lines = [as_line(found, trainer.global_step) + "\n" for found in layers]
        append(self.file, "".join(lines))
        if self.bar is not None:
            self.bar.show(health_panel(layers, trainer.global_step))

    def _look(self, trainer: Trainer, pl_module: LightningModule, layer: str) -> LayerHealth:
        def over_ranks(sums: Tensor) -> Tensor:
            total: Tensor = trainer.strategy.reduce(sums, reduce_op="sum")
            return total

        window = self._windows[layer]
        usage = window.read(self.window, over_ranks)
        alarm = None
        if self.alarm is not None:
            if self._alarm_is_due():
                # Not the window of the display: that may overlap with the last check's, and one
                # bad stretch would count as two.
                recent = window.read(self.alarm.every, over_ranks)
                self.alarm.judge(trainer, pl_module, layer, recent)
            alarm = self.alarm.raised.get(layer)
        return LayerHealth(layer, usage, advise(usage, config_of(pl_module)), alarm)


def config_of(pl_module: LightningModule) -> dict[str, Any]:
    """The resolved configuration that a classifier was built from."""
    config: dict[str, Any] = pl_module.config  # type: ignore[assignment]
    return config


def as_line(health: LayerHealth, step: int) -> str:
    """One JSON object: `step` counts optimizer steps, `window` and `idle` training batches,
    entropies are in bits.
    """
    usage = health.usage
    content = {
        "step": step,
        "layer": health.layer,
        "window": usage.steps,
        "share": [round(float(value), 5) for value in usage.share],
        "used_share": [round(float(value), 5) for value in usage.used_share],
        "entropy": round(usage.entropy, 5),
        "max_entropy": round(usage.max_entropy, 5),
        "dead": usage.dead,
        "idle": usage.idle.tolist(),
        "advice": list(health.advice),
        "alarm": health.alarm,
    }
    return json.dumps(without_nan(content), ensure_ascii=False, allow_nan=False)
