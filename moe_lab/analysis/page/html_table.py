"""Tables and heat-maps as plain values that the page lays out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MISSING = "-"


@dataclass(frozen=True)
class Cell:
    """What is shown, what it is sorted by, and how far a bar behind it reaches, 0 to 1."""

    text: str
    value: float | None = None
    bar: float | None = None


@dataclass(frozen=True)
class Column:
    """A heading with its explanation; numbers stand to the right."""

    name: str
    meaning: str = ""
    is_number: bool = True


@dataclass(frozen=True)
class Table:
    """Rows that a reader can sort and filter; `mark` is where a bar would end at a fair share."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    mark: float | None = None


@dataclass(frozen=True)
class HeatMap:
    """A matrix whose cells are coloured by value, 0 to 1."""

    caption: str
    meaning: str
    row_label: str
    column_label: str
    rows: Sequence[str]
    columns: Sequence[str]
    shades: Sequence[Sequence[float | None]]
    texts: Sequence[Sequence[str]]
    is_strip: bool = False  # many narrow cells without texts, from left to right in time


def words(text: Any) -> Cell:
    return Cell(str(text))


def number(value: float | None, form: str = ".3f", bar: float | None = None) -> Cell:
    """A number to sort by; a dash where it is not defined."""
    if value is None or not math.isfinite(value):
        return Cell(MISSING)
    return Cell(f"{value:{form}}", float(value), bar)


def share(value: float | None, bar: float | None = None) -> Cell:
    """A share of 1, shown in percent."""
    if value is None or not math.isfinite(value):
        return Cell(MISSING)
    return Cell(f"{100 * value:.1f} %", float(value), bar)


def spell_number(value: float) -> str:
    """A number of unknown size, as short as it can be read."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
