"""One look for all figures: colours that colour-blind readers can tell apart, sizes, heat-maps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import ArrayLike, NDArray

Arguments = ParamSpec("Arguments")

# Okabe & Ito 2008, "Color universal design", less its yellow, which vanishes on white; then wine,
# olive and grey.
PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#882255",
    "#999933", "#999999",
)  # fmt: skip
MUTED = "#777777"
RC = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
MOST_TICKS = 24
MOST_ANNOTATED = 260  # cells of a heat-map that still hold a readable number


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """The drawing function under this module's settings; the caller's own come back after it."""

    @functools.wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with matplotlib.rc_context(RC):  # type: ignore[arg-type]
            return draw(*args, **kwargs)

    return drawn


def blank(title: str, width: float, height: float) -> Figure:
    """An empty figure with its title, in inches."""
    # Padding between panels: a scale's label and the next panel's would read as one.
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1))
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def panels(
    title: str, columns: int, rows: int = 1, width: float = 4.2, height: float = 3.2
) -> tuple[Figure, list[Axes]]:
    """A figure of rows x columns panels of `width` x `height` inches, row by row."""
    figure = blank(title, columns * width, rows * height + 0.3)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


def colours(count: int) -> list[tuple[float, float, float, float]]:
    """A colour for each class or expert: the palette, or an even walk along viridis above ten."""
    if count <= len(PALETTE):
        return [to_rgba(name) for name in PALETTE[:count]]
    return [tuple(row) for row in matplotlib.colormaps["viridis"](np.linspace(0, 1, count))]


def heat_map(
    axes: Axes,
    values: ArrayLike,
    row_names: Sequence[str],
    column_names: Sequence[str],
    label: str,
    form: str = "{:.2f}",
    cmap: str = "viridis",
    limits: tuple[float | None, float | None] = (0, None),
) -> AxesImage:
    """Values [rows, columns] as coloured cells with a scale; NaN is grey; numbers where they
    fit.
    """
    cells = np.asarray(values, dtype=float)
    shades = matplotlib.colormaps[cmap].with_extremes(bad="#eeeeee")
    low, high = limits
    if high is None:
        high = float(np.nanmax(cells)) if np.isfinite(cells).any() else 1.0
    image = axes.imshow(
        cells, cmap=shades, vmin=low, vmax=high, aspect="auto", interpolation="nearest"
    )
    name_ticks(axes, row_names, column_names)
    if cells.size <= MOST_ANNOTATED:
        write_values(axes, image, cells, form)
    axes.figure.colorbar(image, ax=axes, label=label)
    return image


def name_ticks(axes: Axes, row_names: Sequence[str], column_names: Sequence[str]) -> None:
    """Names along both sides; every n-th where there are too many to read."""
    for axis, names in ((axes.yaxis, row_names), (axes.xaxis, column_names)):
        places = range(0, len(names), -(-len(names) // MOST_TICKS) or 1)
        axis.set_ticks(list(places), [names[place] for place in places])
    if max(map(len, column_names), default=0) > 3:
        axes.tick_params(axis="x", rotation=45)
        for tick in axes.get_xticklabels():
            tick.set_horizontalalignment("right")
            tick.set_rotation_mode("anchor")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def write_values(axes: Axes, image: AxesImage, cells: NDArray[np.float64], form: str) -> None:
    """The number in each cell, black or white, whichever its colour lets stand out."""
    shades = image.to_rgba(cells)
    for (row, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            red, green, blue, _ = shades[row, column]
            light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.55  # ITU-R BT.601
            shade = "black" if light else "white"
            text = form.format(value)
            axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=7)


def expert_names(count: int) -> list[str]:
    """What axes call the experts: their numbers."""
    return [str(expert) for expert in range(count)]
