"""`plan=true` of a study: what is left to train, and what it costs on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from moe_lab.config.check import check_line
from moe_lab.sweeps.jobs import Job
from moe_lab.sweeps.plan import cost_or_reason, rough_duration
from moe_lab.sweeps.studies.work_list import StudyRun


def preview(runs: Sequence[StudyRun]) -> int:
    """A line for each row, built and timed for a moment; 0, or 2 where a row would not run."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    rows: dict[str, list[StudyRun]] = {}
    for run in runs:
        rows.setdefault(f"{run.part.name}: {run.row.label}", []).append(run)
    table = Table(title="plan: nothing is trained", title_justify="left")
    for heading in ("row", "runs left", "parameters", "FLOPs per image", "time of a run"):
        justify: Literal["left", "right"] = "left" if heading == "row" else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    seconds, refused = 0.0, 0
    for name, own in rows.items():
        (composition,) = check_line("train", own[0].line)
        cost = cost_or_reason(Job.of(composition))
        if isinstance(cost, str):
            refused += 1
            table.add_row(escape(name), f"[bold red]refused[/]: {escape(cost)}")
            continue
        missing = sum(run.finished is None for run in own)
        seconds += missing * cost.seconds
        table.add_row(
            escape(name), f"{missing} of {len(own)}", f"{cost.params:,}",
            f"{cost.flops_per_image:,}", rough_duration(cost.seconds),
        )  # fmt: skip
    Console().print(table)
    missing = sum(run.finished is None for run in runs)
    print(
        f"{missing} of {len(runs)} runs are left: {rough_duration(seconds)} on this machine",
        flush=True,
    )
    return 2 if refused else 0
