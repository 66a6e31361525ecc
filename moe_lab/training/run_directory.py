"""The run directory: the record of truth about one run; dashboards are mirrors of it."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from moe_lab.config.renamed import with_present_names
from moe_lab.config.targets import refuse_lookups
from moe_lab.config.tree import NOT_HASHED, NOT_HASHED_IF_NULL
from moe_lab.errors import ConfigError
from moe_lab.training.checksums import PREVIOUS, Checksums
from moe_lab.training.disk import write_atomically
from moe_lab.training.ranks import is_first_process
from moe_lab.training.recorded_files import read_json, read_yaml

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
        self.report = self.path / "report.html"
        self.log = self.path / "train.log"
        self.health = self.path / "health.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.checksums = Checksums(self.path)

    def checkpoint(self, name: str) -> Path:
        """The file of the `best` or the `last` weights."""
        return self.checkpoints / f"{name}.ckpt"

    def create(self) -> None:
        """Make the folder; ConfigError if it cannot be written to."""
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

    def refuse_taken(self) -> None:
        """ConfigError if the folder already holds a run."""
        if is_first_process() and self.holds_run():
            raise ConfigError(
                f"run_dir={self.path} already holds a run",
                "a new or empty folder, so that no result is overwritten",
                "choose another run_dir, or remove this one",
            )

    def holds_run(self) -> bool:
        """Whether training has left anything here that a new run would mix with."""
        left = (self.config, self.metrics, self.checkpoints)
        return any(path.exists() for path in left)

    def write_config(self, config: dict[str, Any]) -> None:
        self._write(self.config, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def read_config(self) -> dict[str, Any]:
        """The resolved configuration of the run; ConfigError if this is no run directory,
        RecordError where the file is damaged.
        """
        if not os.path.isfile(self.config):  # Path.is_file raises for a name that is too long
            raise ConfigError(
                f"{self.path} holds no run: there is no config.yaml in it",
                "the run directory of a finished training run",
                "see `ls outputs`, or the line `run directory` that training prints at its end",
            )
        self.checksums.verify(self.config)
        config = read_yaml(self.config)
        # It was recorded resolved: what it would look up, such as a variable of the environment,
        # did not come from training.
        refuse_lookups(config, self.config)
        return dict(with_present_names(config))

    def write_json(self, path: Path, content: dict[str, Any]) -> None:
        """Write a file of the run's record, with its checksum."""
        self._write(path, json_text(content))

    def read_summary(self) -> dict[str, Any]:
        return self._read_json(self.summary)

    def read_environment(self) -> dict[str, Any]:
        return self._read_json(self.environment)

    def seal(self) -> None:
        """Keep the checksums of the files that grew while training, and grow no more."""
        self.checksums.seal([self.metrics, self.health])

    def drop_previous(self) -> None:
        """Remove the checkpoints that were kept in case the newest could not be read."""
        if is_first_process():
            for path in self.checkpoints.glob(f"*{PREVIOUS}.ckpt"):
                path.unlink()

    def record_files(self) -> list[Path]:
        """The files that say what the run was and what came out, without the weights."""
        return [
            self.config, self.environment, self.summary, self.tables, self.metrics, self.health
        ]  # fmt: skip

    def verify_records(self) -> None:
        """Damaged where one of them is not as the run has written it."""
        for path in self.record_files():
            self.checksums.verify(path)

    def _write(self, path: Path, text: str) -> None:
        content = text.encode()
        digest = hashlib.sha256(content).hexdigest()
        write_atomically(path, content, before=lambda: self.checksums.expect(path, digest))

    def _read_json(self, path: Path) -> dict[str, Any]:
        self.checksums.verify(path)
        return read_json(path)


def json_text(content: dict[str, Any]) -> str:
    """A file of JSON; null where a number is not finite."""
    text = json.dumps(without_nan(content), indent=2, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def config_hash(config: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that are equal for runs which differ in seed, place or display
    only.
    """
    return hashlib.sha256(json.dumps(_hashed(config), sort_keys=True).encode()).hexdigest()[:12]


def asked_hash(config: DictConfig) -> str:
    """The hash of a composed configuration, whatever is known of its data."""
    keys: Any = [key for key in config if key != "hydra"]
    content = OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True)
    assert isinstance(content, dict)
    plain = {str(key): value for key, value in content.items()}
    return config_hash(plain | {key: False for key in NOT_ASKED if key in plain})


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
