"""What a run directory holds, as far as it got: the only thing that a report is made from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        summary=read_json(run.summary),
        tables=read_json(run.path / "tables.json"),
        environment=read_json(run.environment),
        metrics=read_lines(run.metrics),
        health=read_lines(run.path / "health.jsonl"),
        plots=sorted((run.path / "plots").rglob("*.png")),
    )


def read_json(path: Path) -> LoggedRow:
    """The object in a file; empty without the file."""
    if not path.is_file():
        return {}
    content: LoggedRow = json.loads(path.read_text(encoding="utf-8"))
    return content


def read_lines(path: Path) -> list[LoggedRow]:
    """The objects in a file, one a line; a last line that was cut off is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line.strip()]
