"""What each pass of a model of several passes is good for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_lab.analysis.page.html_table import Cell, Column, Table, number, share

PASS_COLUMNS = (
    Column("accuracy", "share of images classified correctly after the pass"),
    Column("confidence", "mean largest probability after the pass"),
    Column("agreement", "share of images with the same prediction as in the pass before"),
    Column("repaired", "share of images that the pass put right"),
    Column("broken", "share of images that the pass put wrong"),
    Column("modulation norm", "root mean square of what the pass added"),
)
CHANGES = ("agreement", "repaired", "broken")  # not defined for the first pass


def pass_table(tables: Mapping[str, Any]) -> Table | None:
    """A row a pass; None for models of one pass."""
    passes = tables.get("passes")
    if not passes:
        return None
    columns = [column for column in PASS_COLUMNS if column.name.replace(" ", "_") in passes]
    rows = []
    for t in range(len(passes["accuracy"])):
        values = [
            cell(column.name, passes[column.name.replace(" ", "_")][t], t) for column in columns
        ]
        rows.append([number(t + 1, "d"), *values])
    return Table("Each pass", [Column("pass"), *columns], rows)


def cell(name: str, value: float | None, t: int) -> Cell:
    if t == 0 and name in CHANGES:
        return share(None)
    return number(value, ".4g") if name == "modulation norm" else share(value)
