"""Pictures of a run, put into the page itself."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 1_100_000  # of all pictures together: a third more as text, and the page is below 2 MB


@dataclass(frozen=True)
class Figure:
    """A picture as a data: address, or only its place where there was no more room."""

    name: str
    place: str
    address: str | None


def embedded_figures(run: Path, paths: Sequence[Path]) -> list[Figure]:
    """Pictures in their order, as many as the page has room for."""
    found = []
    room = MOST_BYTES
    for path in paths:
        size = path.stat().st_size
        address = None
        if size <= room:
            room -= size
            encoded = base64.b64encode(path.read_bytes()).decode("ascii")
            address = f"data:image/png;base64,{encoded}"
        found.append(Figure(path.stem.replace("_", " "), str(path.relative_to(run)), address))
    return found
