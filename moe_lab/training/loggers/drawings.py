"""What a logger takes beside numbers: the figures and tables of one evaluation."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 120


@dataclass(frozen=True)
class DataTable:
    """Rows under named columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float]]

    def markdown(self) -> str:
        """The table as text with bars between the cells."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


@runtime_checkable
class TakesDrawings(Protocol):
    """A logger that keeps figures and tables."""

    def log_drawings(
        self, figures: Mapping[str, Figure], tables: Mapping[str, DataTable], step: int
    ) -> None:
        """Keep the figures and tables of one evaluation, by name."""


def picture(figure: Figure) -> Image.Image:
    """The figure as it is drawn on paper."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
    return Image.open(file)
