"""A comparison on the screen."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from moe_lab.analysis.pareto import COSTS
from moe_lab.comparison.formats import STAR
from moe_lab.comparison.outcome import Comparison
from moe_lab.comparison.tables import group_texts

MOST_SENTENCES = 20


def show(comparison: Comparison, files: list[Path]) -> None:
    """The table of groups, a verdict a pair, the commands, and what was left out."""
    console = Console(soft_wrap=True)
    title = f"by {comparison.measure.name}, on {comparison.data}"
    texts = group_texts(comparison, commands=False)
    # Two narrow tables fit a terminal of 80 columns.
    Console().print(as_rich(texts.drop(columns=list(COSTS.values())), title))
    Console().print(as_rich(texts[["group", *COSTS.values()]], "costs"))
    console.print(STAR, *map(escape, comparison.notes), sep="\n", style="dim")
    if comparison.verdicts:
        console.print("\nverdicts")
    for verdict in comparison.verdicts[:MOST_SENTENCES]:
        style = "bold" if verdict.winner else None
        console.print(f"  {escape(verdict.sentence)}", style=style, highlight=False)
    rest = len(comparison.verdicts) - MOST_SENTENCES
    if rest > 0:
        console.print(f"  and {rest} more pairs; out=FOLDER writes them all")
    console.print("\ncommands")
    for row in comparison.rows:
        console.print(f"  {row.group.command}", markup=False, highlight=False)
    if comparison.left_out:
        console.print("\nleft out")
    for run in comparison.left_out:
        console.print(f"  {run.path}: {run.reason}", markup=False, highlight=False)
    if files:
        written = " ".join(map(str, files))
        console.print(f"\nwritten: {written}", markup=False, highlight=False)


def as_rich(table: pd.DataFrame, title: str) -> Table:
    """A data frame of texts as a table; numbers to the right."""
    shown = Table(title=escape(title), title_justify="left")
    for place, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if place == 0 else "right")
    for row in table.to_numpy():
        shown.add_row(*map(escape, row))
    return shown
