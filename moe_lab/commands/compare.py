"""Compare runs: means over seeds with intervals, paired tests, costs, verdicts."""

from __future__ import annotations

from pathlib import Path

from omegaconf import ListConfig

from moe_lab.config.compose import Composition
from moe_lab.config.launch import Command, CommandUsage, check_folder


def compare(job: Composition) -> None:
    """Answer on the screen and, where asked, in files."""
    from moe_lab.comparison.controls import refuse_controls
    from moe_lab.comparison.formats import write
    from moe_lab.comparison.outcome import compare_runs
    from moe_lab.comparison.predictions import AnswerMatcher
    from moe_lab.comparison.screen import show
    from moe_lab.training.sandbox import at_work

    request = job.config
    runs = list(request.runs) if isinstance(request.runs, ListConfig) else [request.runs]
    patterns = [str(run) for run in runs]
    with at_work():
        matcher = AnswerMatcher(request.root) if request.mcnemar else None
        found = compare_runs(patterns, request.by, request.baseline, request.level, matcher)
        if not request.controls:
            refuse_controls(row.group for row in found.rows)
        show(found, write(found, Path(str(request.out))) if request.out is not None else [])


def check_out(job: Composition) -> None:
    """Refuse a place that cannot be written to, before anything is read."""
    if job.config.out is not None:
        check_folder(Path(str(job.config.out)), "out")


main = Command(
    CommandUsage(
        "compare",
        __doc__,
        positional=("runs...",),
        texts=("baseline", "out", "root"),
        examples=(
            ("moe-lab compare outputs/a outputs/b 'outputs/sweep/*'", "groups over seeds"),
            ("moe-lab compare outputs/sweep baseline=dense out=tables", "and files"),
            ("moe-lab compare outputs/sweep mcnemar=true", "image by image as well"),
        ),
    ),
    compare,
    check_out,
)
