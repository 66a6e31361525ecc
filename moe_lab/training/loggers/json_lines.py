"""metrics.jsonl: append-only, one object a logged step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from moe_lab.training.disk import append
from moe_lab.training.run_directory import without_nan


class JSONLinesLogger(Logger):
    """Appends `{"step": ..., name: value, ...}` lines; the file is the record that dashboards
    mirror.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return "json_lines"

    @property
    def version(self) -> str:
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> Path:
        return self.path

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        line = json.dumps(without_nan({"step": step, **metrics}), allow_nan=False)
        append(self.path, line + "\n")
