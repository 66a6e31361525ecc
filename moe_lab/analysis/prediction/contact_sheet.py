"""A page of pictures with what the model says about each, and which experts it asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from moe_lab.analysis.plots.pictures import show_picture
from moe_lab.analysis.plots.style import panels, styled
from moe_lab.analysis.prediction.streams import ImageBatch
from moe_lab.analysis.prediction.writing import Predictions, used_experts

COLUMNS, MOST_LAYERS, MOST_EXPERTS, LONGEST = 8, 3, 2, 20
RIGHT, WRONG = "#0072B2", "#D55E00"


@dataclass(frozen=True)
class Tile:
    """One picture as the model saw it, and the lines below it."""

    pixels: NDArray[np.uint8]  # [channels, height, width]
    name: str
    answer: str
    is_wrong: bool
    experts: list[str]


@dataclass
class ContactSheet:
    """Keeps pictures evenly spread over `total`, at most `most` of them."""

    total: int
    most: int
    classes: Sequence[str]
    tiles: list[Tile] = field(default_factory=list)
    _seen: int = 0

    def add(self, batch: ImageBatch, said: Predictions) -> None:
        """Take what is due of a batch."""
        every = max(1.0, self.total / self.most)
        routing = {name: used_experts(weights) for name, weights in said.weights.items()}
        for row, name in enumerate(batch.names):
            if self._seen >= len(self.tiles) * every and len(self.tiles) < self.most:
                best = int(said.probabilities[row].argmax())
                answer = f"{self.classes[best]} {said.probabilities[row, best]:.0%}"
                label = said.labels[row] if said.labels is not None else None
                is_wrong = label is not None and label != self.classes[best]
                asked = [in_words(layer, used[row]) for layer, used in routing.items()]
                if len(asked) == 1:
                    asked = [asked[0].partition(": ")[2]]
                more = [f"+{len(asked) - MOST_LAYERS} layers"] if len(asked) > MOST_LAYERS else []
                self.tiles.append(
                    Tile(
                        batch.images[row].numpy().copy(),
                        name,
                        f"{answer}, not {label}" if is_wrong else answer,
                        is_wrong,
                        [*asked[:MOST_LAYERS], *more],
                    )
                )
            self._seen += 1

    def save(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        draw_sheet(self.tiles, self.total).savefig(file, dpi=110)


def in_words(layer: str, used: Sequence[tuple[int, float]]) -> str:
    """`router: 3 (0.62), 5 (0.38)`."""
    if not used:
        return f"{layer}: no expert"
    shown = ", ".join(f"{expert} ({weight:.2f})" for expert, weight in used[:MOST_EXPERTS])
    more = f" +{len(used) - MOST_EXPERTS}" if len(used) > MOST_EXPERTS else ""
    return f"{layer}: {shown}{more}"


def short(name: str) -> str:
    """The end of a path, which tells files apart."""
    return name if len(name) <= LONGEST else "…" + name[-LONGEST + 1 :]


@styled
def draw_sheet(tiles: Sequence[Tile], total: int) -> Figure:
    """Tiles in rows; below each its file, the answer with its probability, experts with weights."""
    columns = min(COLUMNS, max(1, len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    lines = 2 + max((len(tile.experts) for tile in tiles), default=0)
    title = f"{len(tiles):,} of {total:,} images: prediction and its probability"
    if any(tile.experts for tile in tiles):
        title += "; experts (weight)"
    figure, axes = panels(title, columns, rows, width=1.5, height=1.4 + 0.16 * lines)
    for panel in axes:
        panel.set_axis_off()
    for panel, tile in zip(axes, tiles, strict=False):
        show_picture(panel, tile.pixels)
        below = [short(tile.name), tile.answer, *tile.experts]
        step = 0.085
        for place, line in enumerate(below):
            is_answer = place == 1
            panel.text(
                0.5,
                -0.03 - place * step * 1.25,
                line,
                transform=panel.transAxes,
                ha="center",
                va="top",
                fontsize=8 if is_answer else 6.5,
                fontweight="bold" if is_answer else "normal",
                color=(WRONG if tile.is_wrong else RIGHT) if is_answer else "#444444",
            )
    figure.set_size_inches(max(6.0, figure.get_figwidth()), figure.get_figheight())
    return figure
