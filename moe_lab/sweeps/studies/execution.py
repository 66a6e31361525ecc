"""Trains the runs of a study, one after the other; what is done already is not done again."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from moe_lab.comparison.found_runs import Run
from moe_lab.sweeps import line
from moe_lab.sweeps.launch_jobs import STOPPED
from moe_lab.sweeps.studies.work_list import LINE, StudyRun
from moe_lab.training.disk import write_atomically
from moe_lab.training.status import Stopped


def train_all(
    todo: Sequence[StudyRun], report: Callable[[str], None] = print
) -> tuple[list[tuple[StudyRun, Run]], list[StudyRun]]:
    """The finished runs of a study, and those that failed; Stopped where a signal came."""
    done: list[tuple[StudyRun, Run]] = []
    failed: list[StudyRun] = []
    started = time.perf_counter()
    for place, run in enumerate(todo, start=1):
        before = run.finished
        found = before or train(run)
        label = f"[{place}/{len(todo)}] {run.part.name}: {run.row.label}, seed {run.seed}"
        if found is None:
            failed.append(run)
            report(f"{label}: failed")
            continue
        done.append((run, found))
        accuracy = 100 * float(found.summary["test_accuracy"])
        elapsed = "done before" if before else f"{time.perf_counter() - started:.0f} s so far"
        report(f"{label}: {accuracy:.2f} % ({elapsed})")
    return done, failed


def train(run: StudyRun) -> Run | None:
    """Train in this process, from the last epoch of a run that was stopped or has failed; None
    where it fails again, with what it said on the screen.
    """
    replaced = None if run.is_recorded else begin_anew(run)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = line.main([*run.line, "resume=true"])
    if code in STOPPED:
        raise Stopped(code)
    finished = run.finished
    if finished is not None and replaced is not None:
        shutil.rmtree(replaced)
    if finished is None:
        print(said.getvalue(), file=sys.stderr)
    return finished


def begin_anew(run: StudyRun) -> Path | None:
    """Make the folder of a run anew, with what it was asked for; where the run that was asked for
    in other words is kept until the new one is done.
    """
    replaced = None
    if run.folder.is_dir():
        replaced = run.folder.with_name(f".{run.folder.name}_{uuid.uuid4().hex[:8]}")
        run.folder.rename(replaced)
        print(f"{run.folder} was asked for in other words; kept in {replaced} until this is done")
    run.folder.mkdir(parents=True)
    write_atomically(run.folder / LINE, json.dumps(list(run.words)))
    return replaced
