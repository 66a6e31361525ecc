"""train.log: what a run has logged, in its own directory."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from moe_lab.training.ranks import is_first_process
from moe_lab.training.run_directory import RunDirectory

FORMAT = "%(asctime)s %(levelname)s %(message)s"


class RunLog(logging.Handler):
    """Holds what is logged until the run has started, since a refusal writes nothing; then it goes
    to train.log, after what earlier attempts wrote.
    """

    def __init__(self, directory: RunDirectory) -> None:
        super().__init__()
        self.directory = directory
        self.held: list[logging.LogRecord] = []
        self.file: LogFile | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.file is None:
            self.held.append(record)
        else:
            self.file.handle(record)

    def open(self) -> None:
        """Write from now on, and what was held."""
        if self.file is not None or not is_first_process():
            return
        self.file = LogFile(self.directory.log, encoding="utf-8")
        self.file.setFormatter(logging.Formatter(FORMAT))
        for record in self.held:
            self.file.handle(record)
        self.held.clear()

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
        super().close()


class LogFile(logging.FileHandler):
    """A log that cannot be written, such as on a full disk, is said once and costs nothing else."""

    has_failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.has_failed:
            self.has_failed = True
            reason = sys.exc_info()[1]
            print(f"{self.baseFilename} is not complete: {reason}", file=sys.stderr, flush=True)


@contextmanager
def logged_to(directory: RunDirectory) -> Iterator[RunLog]:
    """Within, what is logged is kept for the run's train.log."""
    handler = RunLog(directory)
    root = logging.getLogger()
    level = root.level
    if is_first_process():
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
