"""Trains the runs of a study, one after the other; what is done already is not done again."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_lab.comparison.runs import Run, read_run
from moe_lab.sweeps.studies.study import Part, Row, Study

LINE = "overrides.json"  # what a run was asked for: it is repeated if that has changed
QUIET = ("callbacks.progress.style=none", "report=false")


@dataclass(frozen=True)
class Task:
    """One run of a study."""

    part: Part
    row: Row
    seed: int
    folder: Path
    typed: tuple[str, ...]

    @property
    def finished(self) -> Run | None:
        """The run, if it is done and was asked for in the same words."""
        line = self.folder / LINE
        if not line.is_file() or json.loads(line.read_text()) != list(self.typed):
            return None
        found = read_run(self.folder / "run")
        return found if isinstance(found, Run) else None


def tasks(
    study: Study, out: Path, seeds: Sequence[int], also: Sequence[str], quick: bool
) -> Iterator[Task]:
    """Seed by seed, so that a study which is stopped has all rows for the seeds it got to."""
    extra = [*(study.quick.split() if quick else ()), *also]
    lines = [(part, row, part.typed(row)) for part in study.parts for row in part.rows]
    for seed in seeds:
        for part, row, typed in lines:
            folder = out / part.name / slug(row.name) / f"seed{seed}"
            yield Task(part, row, seed, folder, (*typed, *extra, f"seed={seed}"))


def clear(task: Task) -> None:
    """Make the folder of a task anew, with what it was asked for."""
    shutil.rmtree(task.folder, ignore_errors=True)
    task.folder.mkdir(parents=True)
    (task.folder / LINE).write_text(json.dumps(list(task.typed)))


def line_of(task: Task) -> list[str]:
    """The words of a task's run."""
    return [*task.typed, *QUIET, f"run_dir={task.folder / 'run'}"]


def train(task: Task) -> Run | None:
    """Run one task in this process; None where it failed, with what it said on the screen."""
    clear(task)
    said = io.StringIO()
    from moe_lab.sweeps.line import main

    with contextlib.redirect_stdout(said):
        code = main(line_of(task))
    if code in (130, 143):
        raise KeyboardInterrupt
    finished = task.finished
    if finished is None:
        print(said.getvalue(), file=sys.stderr)
    return finished


def train_seeds(seeds: Sequence[Task]) -> str:
    """Train several seeds of one row at once where that is possible and faster; what came of it."""
    for task in seeds:
        clear(task)
    said = io.StringIO()
    from moe_lab.analysis.page import write_report
    from moe_lab.training.seeds import train_together

    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        outcome = train_together([line_of(task) for task in seeds], after=write_report)
    if outcome.refused is not None:
        return f"one seed after the other: {outcome.refused}"
    return f"{len(seeds)} seeds together: {outcome.speed}"


def run_all(
    todo: Sequence[Task], report: Callable[[str], None] = print, together: bool = True
) -> tuple[list[tuple[Task, Run]], list[Task]]:
    """The runs of all tasks, and the tasks that failed.

    With `together` all seeds of a row that are still to do are trained at once, where that is
    possible and faster.
    """
    done: list[tuple[Task, Run]] = []
    failed: list[Task] = []
    tried: set[Path] = set()  # folders of rows
    new: set[Path] = set()  # folders of runs that were not there before
    started = time.perf_counter()
    for place, task in enumerate(todo, start=1):
        found = task.finished
        row = task.folder.parent
        if found is None and together and row not in tried:
            tried.add(row)
            seeds = [t for t in todo if t.folder.parent == row and t.finished is None]
            if len(seeds) > 1:
                report(f"{task.part.name}: {task.row.name}, {train_seeds(seeds)}")
                new |= {t.folder for t in seeds}
                found = task.finished
        reused = found is not None and task.folder not in new
        found = found or train(task)
        label = f"[{place}/{len(todo)}] {task.part.name}: {task.row.name}, seed {task.seed}"
        if found is None:
            failed.append(task)
            report(f"{label}: failed")
            continue
        done.append((task, found))
        accuracy = 100 * float(found.summary["test_accuracy"])
        elapsed = "done before" if reused else f"{time.perf_counter() - started:.0f} s so far"
        report(f"{label}: {accuracy:.2f} % ({elapsed})")
    return done, failed


def slug(name: str) -> str:
    """A name as a folder."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def summaries(done: Sequence[tuple[Task, Run]], part: str, row: str) -> list[dict[str, Any]]:
    """The summaries of one row, by seed."""
    return [dict(r.summary) for t, r in done if t.part.name == part and t.row.name == row]
