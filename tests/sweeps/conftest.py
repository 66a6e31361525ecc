"""What the tests of sweeps share: a small sweep, its jobs, and jobs that end badly on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NOT_COMPARED = {"train_seconds", "images_per_second", "run_dir"}


@pytest.fixture
def summaries() -> Callable[[Path], dict[str, dict[str, Any]]]:
    """The summaries of a sweep's jobs by folder, without times and places."""

    def read(sweep: Path) -> dict[str, dict[str, Any]]:
        found = {}
        for path in sorted(sweep.glob("*/summary.json")):
            content = json.loads(path.read_text())
            found[path.parent.name] = {k: v for k, v in content.items() if k not in NOT_COMPARED}
        return found

    return read


@pytest.fixture
def job_of() -> Callable[..., Path]:
    """The folder of the job that was typed with this word."""

    def find(sweep: Path, *words: str) -> Path:
        jobs = json.loads((sweep / "sweep.json").read_text())["jobs"]
        (found,) = [job["folder"] for job in jobs if set(words) <= set(job["overrides"])]
        return sweep / found

    return find
