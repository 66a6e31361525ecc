"""train.log: what a run has logged, in its own directory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from moe_lab.training.ranks import is_first_process
from moe_lab.training.run_directory import RunDirectory


@contextmanager
def logged_to(directory: RunDirectory) -> Iterator[None]:
    """Within, what is logged goes to the run's train.log, after what earlier attempts wrote."""
    if not is_first_process():
        yield
        return
    root = logging.getLogger()
    level = root.level
    handler = logging.FileHandler(directory.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
