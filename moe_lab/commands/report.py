"""Write the page about a run again, from the files in its run directory."""

from __future__ import annotations

from pathlib import Path

from moe_lab.commands.eval import check_run
from moe_lab.config.compose import Composition
from moe_lab.config.launch import Command, CommandUsage


def report(job: Composition) -> None:
    """Write report.html."""
    from moe_lab.analysis.page import write_report
    from moe_lab.training.run_directory import RunDirectory

    out = job.config.out
    folder = None if out is None else Path(str(out))
    print(f"report: {write_report(RunDirectory(str(job.config.run)), folder)}", flush=True)


main = Command(
    CommandUsage(
        "report",
        __doc__,
        positional=("run",),
        examples=(("moe-lab report run=outputs/RUN", "writes outputs/RUN/report.html"),),
    ),
    report,
    check_run,
)
