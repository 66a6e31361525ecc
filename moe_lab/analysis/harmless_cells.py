"""Tables for a spreadsheet, which would run a text that looks like a formula."""

from __future__ import annotations

from typing import Any

import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(table: pd.DataFrame) -> pd.DataFrame:
    """The same table in which no text, in a cell or a heading, starts a formula; numbers stay."""
    return table.map(as_text).rename(columns=as_text)


def as_text(value: Any) -> Any:
    """A value with the apostrophe in front by which a spreadsheet takes it as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
