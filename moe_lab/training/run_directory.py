"""The run directory: the record of truth about one run; dashboards are mirrors of it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import uuid
from pathlib import Path
from typing import Any

import yaml

from moe_lab.config.renamed import with_present_names
from moe_lab.config.targets import refuse_lookups
from moe_lab.config.tree import NOT_HASHED, NOT_HASHED_IF_NULL
from moe_lab.errors import ConfigError, UserError
from moe_lab.training.ranks import is_first_process

NOT_ASKED = ("plan", "resume")  # how a job is run, not what it is


class RunDirectory:
    """Names and writes the files of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.environment = self.path / "environment.json"
        self.metrics = self.path / "metrics.jsonl"
        self.summary = self.path / "summary.json"
        self.tables = self.path / "tables.json"
        self.log = self.path / "train.log"
        self.checkpoints = self.path / "checkpoints"

    def checkpoint(self, name: str) -> Path:
        """The file of the `best` or the `last` weights."""
        return self.checkpoints / f"{name}.ckpt"

    def create(self) -> None:
        """Make the folder; ConfigError if it cannot be written or already holds a run."""
        if not is_first_process():
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"cannot write to run_dir={self.path}: {error.strerror}",
                "a folder that exists or can be made, and written to",
                "choose another run_dir",
            ) from None
        if self.config.exists():
            raise ConfigError(
                f"run_dir={self.path} already holds a run",
                "a new or empty folder, so that no result is overwritten",
                "choose another run_dir, or remove this one",
            )

    def write_config(self, config: dict[str, Any]) -> None:
        write_atomically(self.config, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def read_config(self) -> dict[str, Any]:
        """The resolved configuration of the run; ConfigError if this is no run directory."""
        if not self.config.is_file():
            raise ConfigError(
                f"{self.path} holds no run: there is no config.yaml in it",
                "the run directory of a finished training run",
                "see `ls outputs`, or the line `run directory` that training prints at its end",
            )
        config: dict[str, Any] = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        # It was recorded resolved: what it would look up, such as a variable of the environment,
        # did not come from training.
        refuse_lookups(config, self.config)
        return dict(with_present_names(config))

    def write_json(self, path: Path, content: dict[str, Any]) -> None:
        text = json.dumps(without_nan(content), indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(path, text + "\n")

    def read_summary(self) -> dict[str, Any]:
        return self._read_json(self.summary)

    def read_environment(self) -> dict[str, Any]:
        return self._read_json(self.environment)

    @staticmethod
    def _read_json(path: Path) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step, so that a reader never sees half of it; first process only."""
    if not is_first_process():
        return
    # A name of its own: processes that share a sweep write its list at the same moment.
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {path}: {error.strerror}", "free space and write permission"
        ) from None


def config_hash(config: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that are equal for runs which differ in seed, place or display
    only.
    """
    return hashlib.sha256(json.dumps(_hashed(config), sort_keys=True).encode()).hexdigest()[:12]


def _hashed(config: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _hashed(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in NOT_HASHED and not (value is None and key in NOT_HASHED_IF_NULL)
    }


def without_nan(value: Any) -> Any:
    """JSON has no NaN: null in its place."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value
