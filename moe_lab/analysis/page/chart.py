"""The geometry of a small line chart; the page draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

WIDTH, HEIGHT = 360, 200  # of the drawing in its own units, about one pixel each
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 26
MOST_POINTS = 300  # of a line: more than there are pixels help nobody

STYLES = {"training": 1, "validation": 2}  # the same colour in every chart; others follow

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One series: its path in the drawing, and its points with what they say."""

    name: str
    style: int
    path: str
    points: Sequence[tuple[float, float, str]]
    last: str


@dataclass(frozen=True)
class Chart:
    """Lines over training steps, with ticks as (position, label)."""

    title: str
    lines: Sequence[Line]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def line_chart(title: str, series: dict[str, Points]) -> Chart:
    """Place series of (step, value) in one drawing; every series has a point at least."""
    steps = [x for points in series.values() for x, _ in points]
    values = [y for points in series.values() for _, y in points]
    x_ticks, y_ticks = ticks(steps, whole=True), ticks(values, whole=False)
    x_low, x_high = min(steps), max(max(steps), min(steps) + 1)
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def across(x: float) -> float:
        return round(LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), 1)

    def up(y: float) -> float:
        share = (y - y_low) / (y_high - y_low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for place, (name, points) in enumerate(series.items()):
        placed = [
            (across(x), up(y), f"{name}, step {x:,.0f}: {y:.4g}") for x, y in decimated(points)
        ]
        path = "M" + "L".join(f"{x} {y}" for x, y, _ in placed)
        style = STYLES.get(name, place % 6 + 3)
        lines.append(Line(name, style, path, placed, f"{points[-1][1]:.4g}"))
    return Chart(
        title,
        lines,
        [(across(x), f"{x:,.0f}") for x in x_ticks if x_low <= x <= x_high],
        [(up(y), f"{y:.6g}") for y in y_ticks],
    )


def ticks(values: Sequence[float], whole: bool) -> list[float]:
    """A few round numbers; they enclose the values."""
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    found = MaxNLocator(nbins=4, integer=whole, min_n_ticks=2).tick_values(low, high)
    return [float(round(value, 12)) for value in found]


def decimated(points: Points) -> Points:
    """Not more points than can be told apart; the last one stays."""
    stride = -(-len(points) // MOST_POINTS)
    return points[::-1][::stride][::-1]
