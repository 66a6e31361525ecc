"""What cannot be trained several seeds at once, said by name."""

from __future__ import annotations

from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from omegaconf import DictConfig

from moe_lab.training.callbacks import CollapseAlarm, HealthMonitor, ProgressLines, Stopwatch
from moe_lab.training.callbacks.checkpoint import ConfirmWritten
from moe_lab.training.classifier import Classifier
from moe_lab.training.random_states import Memory
from moe_lab.training.schedules import Schedule

# What the loop for several seeds reads itself, and what it takes for granted.
READ = {
    "_target_", "accelerator", "max_epochs", "gradient_clip_val", "log_every_n_steps",
    "deterministic",
}  # fmt: skip
TAKEN_FOR_GRANTED: dict[str, Any] = {
    "strategy": "auto",
    "devices": 1,
    "num_nodes": 1,
    "precision": "32-true",
    "accumulate_grad_batches": 1,
    "limit_train_batches": 1.0,
    "limit_val_batches": 1.0,
    "limit_test_batches": 1.0,
    "check_val_every_n_epoch": 1,
    "detect_anomaly": False,
}
# Memory has nothing to do: seeds that train together cannot be interrupted and go on.
SERVED: tuple[type[Callback], ...] = (
    ModelCheckpoint, ConfirmWritten, ProgressLines, Stopwatch, HealthMonitor, Memory,
)  # fmt: skip


class CannotBatch(Exception):
    """Why the seeds of this configuration are trained one after the other."""


def refuse_settings(config: DictConfig) -> None:
    """CannotBatch for a configuration that asks for what only a run of its own can do."""
    for key, value in config.trainer.items():
        name = str(key)
        if name in READ:
            continue
        if name not in TAKEN_FOR_GRANTED or value != TAKEN_FOR_GRANTED[name]:
            raise CannotBatch(f"trainer.{name}={value} is not for several seeds at once")
        if isinstance(value, int) != isinstance(TAKEN_FOR_GRANTED[name], int):
            raise CannotBatch(f"trainer.{name}={value} counts batches")  # 1 batch, not all of them
    for key in ("compile", "channels_last"):
        if config.get(key):
            raise CannotBatch(f"{key}=true changes the step of a single run")
    if config.dataset.augment.get("mixup") or config.dataset.augment.get("cutmix"):
        raise CannotBatch("mixup and cutmix draw a share for each seed")
    if config.dataset.val_fraction == 0:
        raise CannotBatch("dataset.val_fraction=0 leaves no images to choose the best epoch on")
    for name in config.logger or {}:
        raise CannotBatch(f"logger.{name} follows one run at a time")


def refuse_parts(classifier: Classifier, trainer: Trainer) -> None:
    """CannotBatch for a schedule or a callback that goes by what a single seed does."""
    if hasattr(classifier.optimizer, "parameter_groups"):
        name = type(classifier.optimizer).__name__
        raise CannotBatch(f"optimizer {name} looks at the modules that weights belong to")
    schedule = classifier.schedule
    if schedule is not None and not isinstance(schedule, Schedule):
        raise CannotBatch(f"scheduler {type(schedule).__name__} follows the losses of one seed")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        only_warns = isinstance(callback, CollapseAlarm) and callback.action == "warn"
        # A callback that does nothing before the test says so itself.
        only_at_the_end = getattr(callback, "after_validation", True) is False
        if not (isinstance(callback, SERVED) or only_warns or only_at_the_end):
            raise CannotBatch(f"callback {type(callback).__name__} needs a run of its own")
