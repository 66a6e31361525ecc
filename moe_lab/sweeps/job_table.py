"""How a sweep stands, and its comparison, on the screen and in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from moe_lab.errors import UserError
from moe_lab.sweeps.jobs import Job
from moe_lab.training.status import STATUSES, State, Status, read_state

STATUS_STYLES = {"done": "green", "running": "cyan", "interrupted": "yellow", "failed": "bold red"}


def read_states(sweep: Path, jobs: Sequence[Job]) -> dict[str, State]:
    """The state of each job by its folder, in the order of the jobs and each once."""
    return {job.folder: read_state(sweep / job.folder) for job in jobs}


def print_states(
    sweep: Path, jobs: Sequence[Job], states: Mapping[str, State], before: Mapping[str, State]
) -> None:
    """A line a job: what was typed, how it stands and why, accuracy, folder; then a count."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"sweep {escape(str(sweep))}", title_justify="left")
    for heading in ("overrides", "status", "test accuracy", "folder"):
        right = heading == "test accuracy"
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    first = {job.folder: job for job in reversed(jobs)}
    for folder, state in states.items():
        accuracy = "-" if state.accuracy is None else f"{100 * state.accuracy:.2f} %"
        reason = state.reason
        if state.status == "done" and folder in before and before[folder].status == "done":
            reason = "before"
        shown = f"{state.status}: {reason}" if reason else state.status
        style = STATUS_STYLES.get(state.status, "")
        words = " ".join(own_words(first[folder], list(first.values())))
        status = f"[{style}]{escape(shown)}[/]" if style else escape(shown)
        table.add_row(escape(words), status, accuracy, folder)
    Console().print(table)
    print(", ".join(f"{n} {status}" for status, n in count_by_status(states).items()), flush=True)


def own_words(job: Job, jobs: Sequence[Job]) -> list[str]:
    """What was typed for this job and not for all of them; all of it for a lone job."""
    shared = set.intersection(*(set(other.overrides) for other in jobs))
    return [w for w in job.overrides if w not in shared] or list(job.overrides)


def count_by_status(states: Mapping[str, State]) -> dict[Status, int]:
    """How many jobs are in each state, those that occur."""
    numbers = {s: sum(state.status == s for state in states.values()) for s in STATUSES}
    return {status: number for status, number in numbers.items() if number}


def is_complete(states: Mapping[str, State]) -> bool:
    """Whether every job is done."""
    return all(state.status == "done" for state in states.values())


def write_comparison(sweep: Path, states: Mapping[str, State]) -> bool:
    """Compare the finished jobs, if there are several, and write the files beside them."""
    if sum(state.status == "done" for state in states.values()) < 2:
        return False
    from moe_lab.comparison.formats import write
    from moe_lab.comparison.outcome import compare_runs
    from moe_lab.comparison.screen import show

    try:
        folders = [sweep / folder for folder, s in states.items() if s.status != "missing"]
        found = compare_runs([folder for folder in folders if folder.is_dir()])
        show(found, write(found, sweep))
    except UserError as error:  # such as different data; the runs themselves are sound
        print(f"\nno comparison:\n{error}", flush=True)
        return False
    return True
