"""The verdicts of an audit on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from moe_lab.analysis.audit import CheckResult


def print_verdicts(verdicts: Sequence[CheckResult]) -> None:
    """A line per check."""
    marks = {True: "[green]pass[/green]", False: "[bold red]FAIL[/bold red]", None: "n/a"}
    table = Table("", "check", "what was found", title="audit", title_justify="left")
    for verdict in verdicts:
        table.add_row(marks[verdict.passed], verdict.name, escape(verdict.detail))
    Console().print(table)
