"""All figures that apply to a run: each file in this folder offers some, of a run or of a layer."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from matplotlib.figure import Figure

from moe_lab.analysis.collected import Records
from moe_lab.analysis.plots.run_view import LayerFigures, Pixels, Rows, RunFigures, RunView
from moe_lab.models import Model

DPI = 150


def draw_run(
    records: Records,
    images: Pixels | None = None,
    class_names: Sequence[str] | None = None,
    history_rows: Rows = (),
    model: Model | None = None,
    toy: Records | None = None,
) -> dict[str, Figure]:
    """Every figure that applies, by file stem.

    `images` are the raw pixels of the records, uint8 [B, channels, height, width], in their order;
    `class_names` what classes are called where not as in the records; `history_rows` the lines of
    metrics.jsonl; `toy` the predictions over the whole square (`square_records`) of a run on toy2d.
    A layer's figures start with its name where there are several layers.
    """
    if class_names is not None:
        records = replace(records, class_names=tuple(class_names))
    view = RunView(records, images, history_rows, model, toy)
    figures = {stem: draw(view) for stem, draw in run_figures().items()}
    for layer in view.layers():
        figures |= {f"{layer.prefix}{stem}": draw(layer) for stem, draw in layer_figures().items()}
    return {stem: figure for stem, figure in figures.items() if figure is not None}


@cache
def run_figures() -> RunFigures:
    """What is drawn of a run as a whole, from the `RUN_FIGURES` of every file."""
    return {
        stem: draw
        for module in modules()
        for stem, draw in getattr(module, "RUN_FIGURES", {}).items()
    }


@cache
def layer_figures() -> LayerFigures:
    """What is drawn of each routing, from the `LAYER_FIGURES` of every file."""
    return {
        stem: draw
        for module in modules()
        for stem, draw in getattr(module, "LAYER_FIGURES", {}).items()
    }


def modules() -> Iterator[ModuleType]:
    """The files of this folder, by name."""
    package = __name__.rpartition(".")[0]
    for found in pkgutil.iter_modules([str(Path(__file__).parent)]):
        yield import_module(f"{package}.{found.name}")


def save(figures: Mapping[str, Figure], folder: str | Path) -> list[Path]:
    """STEM.png of each figure at 150 dots an inch; the folder is made."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    paths = [place / f"{stem}.png" for stem in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        figure.savefig(path, dpi=DPI)
    return paths
