"""Reads a W&B run back from the file that the offline mode writes."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32768  # .wandb files are LevelDB logs: records in fragments that do not cross blocks
PATIENCE = 30  # seconds


def records(content: bytes) -> Iterator[Record]:
    """The records of a .wandb file: after 7 bytes of its own, (crc, length, kind) and the bytes."""
    position, parts = 7, b""
    while position + 7 <= len(content):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last fragment
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


@dataclass
class OfflineRun:
    """What one run holds; a line of the history is a dictionary."""

    folder: Path
    id: str = ""
    group: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    exit_code: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def values(self, metric: str) -> list[Any]:
        """Everything that was logged under a name, in order."""
        return [line[metric] for line in self.history if metric in line]

    def media(self, kind: str) -> dict[str, list[dict[str, Any]]]:
        """What was logged as `image-file` or `table-file`, by name, an entry a time."""
        found: dict[str, list[dict[str, Any]]] = {}
        for line in self.history:
            for name, value in line.items():
                if isinstance(value, dict) and value.get("_type") == kind:
                    found.setdefault(name, []).append(value)
        return found


def read_back(run_dir: Path) -> OfflineRun:
    """The one offline run in a run directory, once it has been closed."""
    (file,) = run_dir.glob("wandb/offline-run-*/*.wandb")
    deadline = time.monotonic() + PATIENCE
    # W&B writes in a process of its own, which may still be at it when `finish` comes back.
    while (run := read(file)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return run


def read(file: Path) -> OfflineRun:
    """What is in the file by now."""
    run = OfflineRun(file.parent / "files")
    for record in records(file.read_bytes()):
        if record.HasField("run"):
            run.id, run.group = record.run.run_id, record.run.run_group
            run.name, run.tags = record.run.display_name, tuple(record.run.tags)
            merge(run.config, record.run.config.update)
        elif record.HasField("config"):
            merge(run.config, record.config.update)
        elif record.HasField("summary"):
            merge(run.summary, record.summary.update)
        elif record.HasField("history"):
            run.history.append(merge({}, record.history.item))
        elif record.HasField("exit"):
            run.exit_code = record.exit.exit_code
    return run


def merge(into: dict[str, Any], items: Iterable[Any]) -> dict[str, Any]:
    """Write items with a name, or the path to a nested one, into a dictionary."""
    for item in items:
        *path, name = item.nested_key or [item.key]
        place = into
        for part in path:
            place = place.setdefault(part, {})
        place[name] = json.loads(item.value_json)
    return into
