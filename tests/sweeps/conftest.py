"""What the tests of sweeps share: a small sweep, its jobs, and jobs that end badly on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def job_of() -> Callable[..., Path]:
    """The folder of the job that was typed with this word."""

    def find(sweep: Path, *words: str) -> Path:
        jobs = json.loads((sweep / "sweep.json").read_text())["jobs"]
        (found,) = [job["folder"] for job in jobs if set(words) <= set(job["overrides"])]
        return sweep / found

    return find
