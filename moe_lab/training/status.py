"""What has become of a job, read from its folder alone: any process may ask."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from moe_lab.errors import RecordError
from moe_lab.training.claim import INNER_LOCK, is_locked
from moe_lab.training.run_directory import RunDirectory

Status = Literal["done", "pruned", "running", "interrupted", "failed", "missing"]
STATUSES: tuple[Status, ...] = (
    "done", "pruned", "running", "interrupted", "failed", "missing",
)  # fmt: skip
KEPT = "train.log"  # open while the job starts, and it tells how the attempts before ended


class Stopped(SystemExit):
    """SIGTERM has come while no trainer was there to answer it."""


@dataclass(frozen=True)
class State:
    """The status of a job and, where it has one, the reason."""

    status: Status
    reason: str = ""
    accuracy: float | None = None


def read_state(folder: Path) -> State:
    """What has become of the job in this folder."""
    return State("running") if is_locked(folder) else recorded_state(folder)


def recorded_state(folder: Path) -> State:
    """The same as far as it is on record, for the process that holds the job."""
    directory = RunDirectory(folder)
    if not directory.summary.is_file():
        if directory.config.is_file():
            return State("interrupted", "its process ended without a word")
        return State("missing")
    try:
        summary = directory.read_summary()
    except RecordError as error:
        return State("failed", error.wrong)
    return state_of(summary)


def state_of(summary: dict[str, Any]) -> State:
    """The state that a summary tells of."""
    status = summary.get("status")
    if status == "done":
        accuracy = summary.get("test_accuracy")
        measured = accuracy if isinstance(accuracy, int | float) else None
        return State("done", str(summary.get("stopped", "")), measured)
    epochs = summary.get("epochs")
    if status == "pruned":
        return State("pruned", f"without hope after epoch {epochs}")
    if status == "interrupted":
        return State("interrupted", f"stopped by a signal after epoch {epochs}")
    lines = str(summary.get("error", "")).strip().splitlines()
    reason = " ".join(lines[0].split()).removeprefix("wrong: ") if lines else ""
    return State("failed", reason or "no reason is recorded")


def clear(folder: Path) -> None:
    """Remove what an attempt left, but not its log."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != KEPT and not path.name.startswith(INNER_LOCK):
            path.unlink()
