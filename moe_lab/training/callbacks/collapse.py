"""An alarm for routers that send everything to one or two experts."""

from __future__ import annotations

import logging
from typing import Any, Literal

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from moe_lab.errors import ConfigError
from moe_lab.training.health import Usage, advise, redraw_router, sign_of_collapse

log = logging.getLogger("moe_lab")
Action = Literal["off", "warn", "stop", "reinit"]
SUCCESSIVE_CHECKS = 2  # with a sign of collapse before anything is done


def collapse(action: Action, every: int) -> Callback | None:
    """Judge every `every` steps; None where `action` is off."""
    return None if action == "off" else CollapseAlarm(action, every)


class CollapseAlarm(Callback):
    """Acts once two successive checks show a sign of collapse, see `sign_of_collapse`.

    warn says so; stop also ends the training, with `stop_reason`; reinit draws that router again.
    A HealthMonitor measures and asks it to judge.
    """

    status_if_stopped = "done"

    def __init__(self, action: Action, every: int) -> None:
        if action not in ("warn", "stop", "reinit"):
            raise ValueError(f"action must be warn, stop or reinit, got {action!r}")
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.action, self.every = action, every
        self.raised: dict[str, str] = {}  # layer -> what is wrong, while it lasts
        self.stop_reason: str | None = None
        self.is_asked = False  # set by the HealthMonitor
        self._signs: dict[str, int] = {}  # layer -> successive checks with a sign

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.is_asked:
            raise ConfigError(
                "callbacks.collapse is there, but callbacks.health, which measures for it, is not",
                todo="use callbacks=default, or set callbacks.collapse.action=off",
            )

    def state_dict(self) -> dict[str, Any]:
        return {
            "raised": dict(self.raised),
            "signs": dict(self._signs),
            "stop_reason": self.stop_reason,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.raised, self._signs = state_dict["raised"], state_dict["signs"]
        self.stop_reason = state_dict["stop_reason"]

    def judge(self, trainer: Trainer, pl_module: LightningModule, layer: str, usage: Usage) -> None:
        """Take the use of a layer since the last check into account, and act if it is time."""
        sign = sign_of_collapse(usage)
        self._signs[layer] = self._signs.get(layer, 0) + 1 if sign else 0
        if sign is None or self._signs[layer] < SUCCESSIVE_CHECKS:
            self.raised.pop(layer, None)
            return
        self.raised[layer] = sign
        if self._signs[layer] == SUCCESSIVE_CHECKS:
            advice = advise(usage, pl_module.config)  # type: ignore[arg-type]
            self._act(trainer, pl_module, layer, advice)

    def _act(
        self, trainer: Trainer, pl_module: LightningModule, layer: str, advice: list[str]
    ) -> None:
        reason = f"{layer} collapsed by step {trainer.global_step}: {self.raised[layer]}"
        done = ""
        if self.action == "stop":
            self.stop_reason = reason
            trainer.should_stop = True
            done = "; training stops here"
        elif self.action == "reinit":
            done = f"; {self._redraw(trainer, pl_module, layer)}"
        if trainer.is_global_zero:
            line = f"COLLAPSE: {reason}{done}. Advice: {'; '.join(advice)}"
            log.warning("%s", line)
            print(line, flush=True)

    def _redraw(self, trainer: Trainer, pl_module: LightningModule, layer: str) -> str:
        config: dict[str, Any] = pl_module.config  # type: ignore[assignment]
        seed = int(config.get("seed", 0)) + trainer.global_step
        model = pl_module.model
        failure = redraw_router(model, layer, config, trainer.optimizers, seed)  # type: ignore[arg-type]
        if failure:
            return f"it cannot be drawn again, as {failure}"
        self._signs[layer] = 0  # two more checks before the new one is judged
        return "its weights were drawn again"
