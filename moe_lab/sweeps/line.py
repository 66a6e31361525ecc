"""One command line of training, from its list of jobs to its exit code."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig

from moe_lab.errors import ConfigError
from moe_lab.sweeps import screen
from moe_lab.sweeps.jobs import JobList, write_record
from moe_lab.sweeps.search.line import SearchLine, read_search
from moe_lab.sweeps.search.study import holds_search
from moe_lab.sweeps.task import STOPPED
from moe_lab.training.status import State, Stopped


class TrainLine:
    """What `python -m moe_lab.train` does before and after its jobs.

    1. while the line is checked, every job is put on a list
    2. a sweep is written down, with the jobs that were there before
    3. after the jobs, the table, the comparison and the exit code come from their folders
    """

    def __init__(self) -> None:
        self.jobs = JobList()
        self.sweep: Path | None = None  # its folder, once a sweep has started
        self.before: dict[str, State] = {}
        self.search: SearchLine | None = None

    def expand(self, words: list[str], multirun: bool) -> list[str]:
        """The words of the line, and after them the ranges that a search takes from its file."""
        self.search = read_search(words, multirun)
        return words if self.search is None else self.search.words

    def plan(self, multirun: bool) -> int:
        """Say what the jobs would cost; nothing is trained."""
        if self.search is not None:
            return self.search.plan(self.jobs.jobs[0])
        from moe_lab.sweeps.plan import plan

        sweep = Path(self.jobs.run_dirs[0]) if multirun else None
        return plan(self.jobs.jobs, sweep)

    def start(self, config: DictConfig, multirun: bool) -> list[str]:
        """Write a sweep down; returns the words that keep all its jobs in one folder."""
        if not multirun:
            return []
        refuse_hydra_folders(self.jobs.typed)
        typed = any(word.startswith("run_dir=") for word in self.jobs.jobs[0].overrides)
        if typed and len(set(self.jobs.run_dirs)) > 1:
            raise ConfigError(
                "run_dir differs between the jobs of a sweep",
                "one folder for the sweep; each job gets a folder of its own in it",
                "give one run_dir without values that change",
            )
        # The default follows from the time and the seed, and so would be another for each job.
        sweep = Path(self.jobs.run_dirs[0])
        if self.search is not None:
            self.search.begin(sweep, self.jobs.jobs[0])
        elif holds_search(sweep):
            raise ConfigError(f"run_dir={sweep} holds a search", "a folder of the sweep's own")
        self.sweep = sweep  # from here on there is something to report
        self.before = screen.read_states(self.sweep, self.jobs.jobs)
        write_record(self.sweep, self.jobs.jobs)
        return [f"run_dir={QuotedString(str(self.sweep), Quote.single).with_quotes()}"]

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Turn SIGTERM into an exit wherever no trainer is at work in this process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self.stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def stop(self, number: int, frame: Any) -> None:
        if is_training(frame):
            return  # Lightning's handler, which has called this one, ends the training in order
        raise Stopped(128 + number)

    def finish(self, code: int) -> int:
        """The exit code of the line; of a sweep also table and comparison."""
        if self.sweep is None:
            return code
        if self.search is not None:
            return self.finish_search(code)
        states = screen.read_states(self.sweep, self.jobs.jobs)
        screen.print_states(self.sweep, self.jobs.jobs, states, self.before)
        if code in STOPPED:
            print("stopped; the same command again goes on from here", flush=True)
            return code
        screen.write_comparison(self.sweep, states)
        return 0 if screen.is_complete(states) else 1

    def finish_search(self, code: int) -> int:
        """The exit code of a search, after its table."""
        from moe_lab.sweeps.search.screen import show_search

        assert self.sweep is not None
        is_complete = show_search(self.sweep)
        if code in STOPPED:
            print("stopped; the same command again goes on from here", flush=True)
            return code
        return 0 if is_complete else 1


def refuse_hydra_folders(words: Sequence[str]) -> None:
    """The folders of a sweep follow from run_dir and the configurations, or no job is found."""
    for word in words:
        if word.lstrip("+~").startswith("hydra.sweep."):
            raise ConfigError(
                f"{word.split('=')[0]} cannot be set: the folder of each job follows from its hash",
                "run_dir=FOLDER for the sweep as a whole",
            )


def is_training(frame: Any) -> bool:
    """Whether a Lightning trainer is at work in this stack, with handlers of its own."""
    while frame is not None:
        if frame.f_code.co_name == "_call_and_handle_interrupt":
            return True
        frame = frame.f_back
    return False
