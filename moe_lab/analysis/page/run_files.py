"""What a run directory holds, as far as it got: the only thing that a report is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_lab.training.recorded_files import read_json, read_lines
from moe_lab.training.run_directory import RunDirectory

LoggedRow = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """The files of a run; those that are not there are empty."""

    path: Path
    config: LoggedRow
    summary: LoggedRow
    tables: LoggedRow
    environment: LoggedRow
    metrics: list[LoggedRow]
    health: list[LoggedRow]
    plots: list[Path]

    @property
    def num_test_images(self) -> int | None:
        """How many images the test accuracy rests on; None where that is not recorded."""
        confusion = self.tables.get("confusion")
        if confusion:
            return sum(map(sum, confusion))
        whole = self.config.get("trainer", {}).get("limit_test_batches") == 1.0
        sizes = self.environment.get("data", {}).get("sizes", {})
        return sizes.get("test") if whole else None

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, or their numbers."""
        names = self.tables.get("class_names") or range(len(self.tables.get("confusion", [])))
        return [str(name) for name in names]


def read_record(run: RunDirectory) -> Record:
    """Read what there is; ConfigError if the folder holds no run."""
    run.verify_records()
    return Record(
        path=run.path,
        config=run.read_config(),
        summary=read_if_there(run.summary),
        tables=read_if_there(run.path / "tables.json"),
        environment=read_if_there(run.environment),
        metrics=read_lines(run.metrics),
        health=read_lines(run.path / "health.jsonl"),
        plots=sorted((run.path / "plots").rglob("*.png")),
    )


def read_if_there(path: Path) -> LoggedRow:
    """The object in a file; empty without the file."""
    return read_json(path) if path.is_file() else {}
