"""The composed model as boxes: its parts, their sizes and parameters, read from the live object."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn

from moe_lab.analysis.plots.run_view import RunFigures
from moe_lab.analysis.plots.style import MUTED, PALETTE, blank, styled
from moe_lab.models import Model

SIZES = (
    "num_experts", "num_iterations", "max_steps", "branching", "top_k", "slots", "tokens",
    "in_features", "hidden", "out_features",
)  # fmt: skip
SHADES = {"backbone": 5, "router": 1, "experts": 2, "combine": 4}
BOX_WIDTH, GAP, LINE_HEIGHT = 2.3, 0.5, 0.155  # inches
LETTERS = 34  # of the small print that fit into a box


@dataclass(frozen=True)
class Box:
    """One box."""

    name: str
    kind: str
    details: str
    parameters: int

    @property
    def lines(self) -> list[str]:
        wrapped = textwrap.wrap(self.details, LETTERS)
        return [*textwrap.wrap(self.kind, LETTERS), *wrapped, f"{self.parameters:,} parameters"]

    @property
    def height(self) -> float:
        return 0.42 + LINE_HEIGHT * len(self.lines)


@styled
def architecture(model: Model) -> Figure:
    """Backbone, router over experts and combine rule from left to right; other parts below."""
    found = {part.name: part for part in parts(model)}
    columns = [("backbone",), ("router", "experts"), ("combine",)]
    flow = [[found[name] for name in names if name in found] for names in columns]
    flow = [column for column in flow if column]
    if not flow and found:  # a model of other parts: the first one reads the images
        flow = [[next(iter(found.values()))]]
    drawn = {part.name for column in flow for part in column}
    rest = [part for part in found.values() if part.name not in drawn]
    total = sum(part.parameters for part in found.values())
    width = 2.0 + max(len(flow), len(rest)) * (BOX_WIDTH + GAP)
    tallest = max((sum(p.height for p in c) + GAP * (len(c) - 1) for c in flow), default=1.0)
    below = max((part.height for part in rest), default=-0.3) + 0.3
    figure = blank(f"{type(model).__name__}: {total:,} parameters", width, tallest + below + 0.75)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(0, tallest + below + 0.15), aspect="equal")
    draw_flow(axes, flow, below + 0.1 + tallest / 2)
    for place, part in enumerate(rest):
        box(axes, part, 0.9 + GAP + place * (BOX_WIDTH + GAP), 0.05)
    return figure


def draw_flow(axes: Axes, flow: list[list[Box]], centre: float) -> None:
    """The boxes in columns from images to prediction, with arrows between neighbours."""
    x, ends = 0.9, [(0.75, centre)]
    axes.text(0.05, centre, "images\n[B, ...]", va="center", fontsize=9)
    for column in flow:
        x += GAP
        top = centre + (sum(part.height for part in column) + GAP * (len(column) - 1)) / 2
        middles = []
        for part in column:
            box(axes, part, x, top - part.height)
            middles.append((x, top - part.height / 2))
            top -= part.height + GAP
        join(axes, ends, middles)
        if len(column) == 2:
            down = middles[0][1] - column[0].height / 2
            join(axes, [(x + BOX_WIDTH / 2, down)], [(x + BOX_WIDTH / 2, down - GAP)])
            axes.text(x + BOX_WIDTH / 2 + 0.1, down - GAP / 2, "who is asked", va="center",
                      fontsize=7, color=MUTED)  # fmt: skip
        x += BOX_WIDTH
        ends = [(x, middle) for _, middle in middles]
    join(axes, ends, [(x + GAP, centre)])
    axes.text(x + GAP + 0.1, centre, "log_probs\n[B, C]", va="center", fontsize=9)


def parts(model: Model) -> list[Box]:
    """Every part of the model, once; those of a mixture inside it in its place.

    The parameters of the parts sum to those of the model.
    """
    found: list[Box] = []
    for name, child in model.named_children():
        if isinstance(child, Model):
            found += parts(child)
        else:
            size = sum(parameter.numel() for parameter in child.parameters())
            found.append(Box(name, kind(child), details(child), size))
    own = sum(parameter.numel() for parameter in model.parameters(recurse=False))
    if own:
        names = ", ".join(name for name, _ in model.named_parameters(recurse=False))
        found.append(Box("own weights", names, "", own))
    return found


def kind(module: nn.Module) -> str:
    """The class of a part; of a list, those of its members."""
    if not isinstance(module, nn.ModuleList):
        return type(module).__name__
    members = Counter(type(child).__name__ for child in module)
    return ", ".join(f"{count} {name}" for name, count in members.items())


def details(module: nn.Module) -> str:
    """The numbers a part is made of, those of SIZES that it has."""
    known = {name: getattr(module, name, None) for name in SIZES}
    return ", ".join(
        f"{name} {value}" for name, value in known.items() if isinstance(value, int | list)
    )


def box(axes: Axes, part: Box, x: float, y: float) -> None:
    """A part's box with its lower left corner at (x, y)."""
    axes.add_patch(
        FancyBboxPatch(
            (x, y), BOX_WIDTH, part.height, boxstyle="round,pad=0,rounding_size=0.08",
            facecolor="white", edgecolor=PALETTE[SHADES.get(part.name, 9)], linewidth=1.8,
        )
    )  # fmt: skip
    top = y + part.height - 0.08
    axes.text(x + 0.1, top, part.name, va="top", fontsize=9, fontweight="bold")
    text = "\n".join(part.lines)
    axes.text(x + 0.1, top - 0.22, text, va="top", fontsize=7, linespacing=1.35)


def join(axes: Axes, starts: list[tuple[float, float]], ends: list[tuple[float, float]]) -> None:
    """An arrow from every start to every end."""
    look = {"arrowstyle": "->", "color": MUTED, "linewidth": 1.2, "shrinkA": 1, "shrinkB": 1}
    for start in starts:
        for end in ends:
            axes.annotate("", end, start, arrowprops=look)


RUN_FIGURES: RunFigures = {
    "architecture": lambda run: None if run.model is None else architecture(run.model),
}
