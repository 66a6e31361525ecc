"""Show how the jobs of a sweep stand, or what came out of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from moe_lab.config.compose import Composition
from moe_lab.config.launch import Command, CommandUsage
from moe_lab.errors import ConfigError
from moe_lab.sweeps import job_table
from moe_lab.sweeps.jobs import RECORD, recorded_jobs
from moe_lab.sweeps.search.database import holds_search
from moe_lab.sweeps.search.storage import require_optuna


def answer(job: Composition) -> int:
    """Print what was asked for; 1 where some jobs are not done or there is nothing to compare."""
    action, sweep = str(job.config.action), Path(str(job.config.sweep))
    if holds_search(sweep):
        from moe_lab.sweeps.search.trial_table import show_search

        return 0 if show_search(sweep) else 1
    jobs = recorded_jobs(sweep)
    states = job_table.read_states(sweep, jobs)
    if action == "status":
        job_table.print_states(sweep, jobs, states, {})
        return 0 if job_table.is_complete(states) else 1
    if job_table.write_comparison(sweep, states):
        return 0
    print("nothing to compare: it takes two finished jobs on the same data", file=sys.stderr)
    return 1


def check_sweep(job: Composition) -> None:
    """Refuse a folder that holds no sweep, or a search that cannot be read."""
    sweep = Path(str(job.config.sweep))
    if holds_search(sweep):
        require_optuna()
    if not os.path.isfile(sweep / RECORD):
        raise ConfigError(
            f"{sweep} holds no sweep: there is no {RECORD} in it",
            "the folder of a sweep: run_dir of a command with -m",
            "see `ls outputs`, or the heading of the table that a sweep prints at its end",
        )


main = Command(
    CommandUsage(
        "sweep",
        __doc__,
        positional=("action", "sweep"),
        examples=(
            ("moe-lab sweep status outputs/sweeps/NAME", "how each job of a sweep stands"),
            ("moe-lab sweep report outputs/sweeps/NAME", "its comparison again"),
        ),
    ),
    answer,
    check_sweep,
)
