"""`plan=true`: what a command line would run, what of it is refused, and what the rest costs."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from moe_lab.config.trust import trusting
from moe_lab.errors import UserError
from moe_lab.sweeps.estimate import Cost, largest_process, with_fallback
from moe_lab.sweeps.job_table import own_words
from moe_lab.sweeps.jobs import Job
from moe_lab.training.status import read_state


@dataclass(frozen=True)
class Entry:
    """One distinct job of a plan: it has a cost, or a reason why it is refused."""

    job: Job
    times: int  # how often the line asks for it
    status: str  # of the job in the sweep's folder
    found: Cost | str

    @property
    def seconds(self) -> float:
        """What is still to do; an interrupted job counts in full."""
        if isinstance(self.found, str) or self.status == "done":
            return 0.0
        return self.found.seconds


def show_plan(jobs: Sequence[Job], sweep: Path | None) -> int:
    """Print the plan of a command line; 0, or 2 where some of it is refused."""
    # All that this process has done so far, the process that trains has to do as well.
    starting = time.process_time()
    entries = make_plan(jobs, sweep)
    print_plan(entries, sweep, starting)
    return 2 if any(isinstance(entry.found, str) for entry in entries) else 0


def make_plan(jobs: Sequence[Job], sweep: Path | None) -> list[Entry]:
    """An entry a distinct job; each configuration is measured once, whatever its seeds."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    times = Counter(job.folder for job in jobs)
    distinct = {job.folder: job for job in reversed(jobs)}
    measured: dict[str, Cost | str] = {}
    entries = []
    for folder in dict.fromkeys(job.folder for job in jobs):
        job = distinct[folder]
        if job.config_hash not in measured:
            measured[job.config_hash] = cost_or_reason(job)
        status = "missing" if sweep is None else read_state(sweep / folder).status
        entries.append(Entry(job, times[folder], status, measured[job.config_hash]))
    return entries


def cost_or_reason(job: Job) -> Cost | str:
    """What a job costs, or why it would not run."""
    composition = job.composed

    def with_dataset(name: str) -> DictConfig:
        return composition.with_option("dataset", name).config

    try:
        with trusting(composition.config.trust):
            return with_fallback(composition.config, with_dataset)
    except UserError as error:
        return error.wrong
    except Exception as error:  # as in training: one job that fails does not stop the others
        return f"{type(error).__name__}: {error}"


def print_plan(entries: Sequence[Entry], sweep: Path | None, starting: float = 0.0) -> None:
    """A line a job, then the sum, with the seconds that the process takes to start."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="plan: nothing is trained", title_justify="left")
    for heading in ("job", "status", "parameters", "FLOPs an image", "memory", "time"):
        left = heading in ("job", "status")
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    jobs = [entry.job for entry in entries]
    for entry in entries:
        typed = [w for w in own_words(entry.job, jobs) if not w.startswith("plan=")]
        words = escape(" ".join(typed) or "defaults")
        status = status_of(entry, sweep)
        if isinstance(entry.found, str):
            table.add_row(words, f"[bold red]refused[/]: {escape(entry.found)}")
            continue
        cost = entry.found
        table.add_row(
            words, status, f"{cost.params:,}", f"{cost.flops_per_image:,}",
            f"{cost.bytes / 2**20:,.0f} MiB", rough_duration(cost.seconds),
        )  # fmt: skip
    Console().print(table)
    for line in totals(entries, starting):
        print(line)
    print(end="", flush=True)


def status_of(entry: Entry, sweep: Path | None) -> str:
    """How the job stands, and whether it is asked for more than once."""
    words = ["new" if entry.status == "missing" else entry.status]
    if entry.times > 1:
        words.append(f"asked for {entry.times} times, runs once")
    return ", ".join(words)


def totals(entries: Sequence[Entry], starting: float = 0.0) -> list[str]:
    """Jobs, duplicates, refusals, the time of what is left, one after the other, and memory."""
    asked = sum(entry.times for entry in entries)
    refused = sum(isinstance(entry.found, str) for entry in entries)
    done = sum(entry.status == "done" for entry in entries)
    left = sum(entry.seconds for entry in entries)
    counts: Mapping[str, int] = {
        "duplicate": asked - len(entries), "refused": refused, "done before": done,
    }  # fmt: skip
    parts = [f"{number} {name}" for name, number in counts.items() if number]
    cores = os.cpu_count() or 1
    start = f"; {rough_duration(starting)} of it for Python and torch to start" if left else ""
    left += starting if left else 0.0
    return [
        f"{asked} job{'s' if asked != 1 else ''}{': ' if parts else ''}{', '.join(parts)}",
        f"time of what is left, one job after the other: {rough_duration(left)} on this machine "
        f"({cores} cores){start}; at most: early stopping may end a run sooner",
        "memory: weights, gradients, optimizer, one training batch and the images; the whole "
        f"process held {largest_process() / 2**20:,.0f} MiB at most when these jobs were tried",
    ]


def rough_duration(seconds: float) -> str:
    """Seconds as one reads them."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
