"""One command line of training: parse -> check -> jobs -> run -> report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moe_lab.config.check import check_line
from moe_lab.config.compose import Composition
from moe_lab.config.launch import CommandLine, with_exit_code
from moe_lab.config.trust import trusting
from moe_lab.config.typed import from_here, shell_line
from moe_lab.errors import ConfigError
from moe_lab.sweeps import job_table
from moe_lab.sweeps.jobs import Job, write_record
from moe_lab.sweeps.launch_jobs import STOPPED, launch_jobs
from moe_lab.sweeps.places import check_places, run_folder, sweep_folder
from moe_lab.sweeps.search.database import holds_search
from moe_lab.sweeps.search.ranges import asks_for_search, with_ranges
from moe_lab.sweeps.stopping import stoppable, under_way
from moe_lab.training import console
from moe_lab.training.claim import only_here
from moe_lab.training.status import Stopped


def main(words: Sequence[str]) -> int:
    """`train_line` for words without options, or with -m among them: the exit code."""
    plain = [word for word in words if word not in ("-m", "--multirun")]
    line = CommandLine(plain, multirun=len(plain) < len(words))
    return with_exit_code("train", lambda: train_line(line))


def train_line(line: CommandLine) -> int:
    """Train what a command line asks for.

    The exit code: 0 done, 1 a job failed, 2 a wrong command line, 130 or 143 stopped by a signal.
    Raises UserError where the line is wrong.
    """
    with stoppable():
        searching = asks_for_search(line)
        words = with_ranges(line.words) if searching else line.words
        compositions = check_line("train", words, line.multirun)
        jobs = [Job.of(composition) for composition in compositions]
        if jobs[0].composed.config.plan:
            return plan(jobs, words, line.multirun, searching)
        folder = sweep_folder(jobs) if line.multirun else run_folder(jobs[0])
        check_places(jobs, folder, line.multirun)
        if not line.multirun:
            return train_alone(compositions[0], folder.absolute())
        hydra_words = [word for word in words if word.lstrip("+~").startswith("hydra")]
        if searching:
            code = search(jobs[0], words, folder, hydra_words)
        else:
            code = run_sweep(jobs, folder, hydra_words)
        if code in STOPPED:
            again = shell_line("train", ["-m", *line.words])
            print(f"stopped; the same command again goes on from here:\n  {again}", flush=True)
        return code


def train_alone(composition: Composition, folder: Path) -> int:
    """Train a single run."""
    config = composition.config
    console.announce(config, composition.choices, folder)
    console.say("loading torch")
    # torch and lightning take seconds to import: not before the command line is known to be right.
    from moe_lab.analysis.ending import print_ending
    from moe_lab.analysis.page import write_report
    from moe_lab.training.attempt import Request, attempt

    under_way()
    request = Request(
        composition, folder, bool(config.resume), after=write_report, ending=print_ending
    )
    with trusting(config.trust), only_here(folder):
        return attempt(request).exit_code


def run_sweep(jobs: Sequence[Job], sweep: Path, hydra_words: Sequence[str]) -> int:
    """Train the jobs of a sweep that are not done; then the table, and the comparison."""
    if holds_search(sweep):
        raise ConfigError(f"run_dir={sweep} holds a search", "a folder of the sweep's own")
    before = job_table.read_states(sweep, jobs)
    write_record(sweep, jobs)
    console.say(f"sweep of {len(before)} jobs: {from_here(sweep)}\n")
    try:
        code = launch_jobs(jobs, sweep, hydra_words)
    except Stopped as stop:
        code = int(stop.code or 143)
    except KeyboardInterrupt:
        code = 130
    states = job_table.read_states(sweep, jobs)
    job_table.print_states(sweep, jobs, states, before)
    if code in STOPPED:
        return code
    job_table.write_comparison(sweep, states)
    return 0 if job_table.is_complete(states) else 1


def search(default: Job, words: Sequence[str], folder: Path, hydra_words: Sequence[str]) -> int:
    """Run the trials of a search; then its table."""
    from moe_lab.sweeps.search.search import run_search
    from moe_lab.sweeps.search.trial_table import show_search

    code = run_search(default, words, folder, hydra_words)
    is_complete = show_search(folder)
    if code in STOPPED:
        return code
    return 0 if is_complete else 1


def plan(jobs: Sequence[Job], words: Sequence[str], multirun: bool, searching: bool) -> int:
    """Say what the jobs would cost; nothing is trained."""
    if searching:
        from moe_lab.sweeps.search.search import plan_search

        return plan_search(jobs[0], words)
    from moe_lab.sweeps.plan import show_plan

    return show_plan(jobs, sweep_folder(jobs) if multirun else None)
