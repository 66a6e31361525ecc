"""What is known about the routers, drawn for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from moe_lab.training.health.collapse import most_weight
from moe_lab.training.health.usage import Usage

MOST_BARS = 10  # experts that get a line of their own; more stand side by side
COLUMN_HEIGHTS = " ▁▂▃▄▅▆▇█"
EXPERTS_A_ROW = 64
# Blue and orange differ for every kind of colour vision; what matters is also in words.
FINE, HEAVY, DEAD = "blue", "dark_orange", "bold red"


@dataclass(frozen=True)
class LayerHealth:
    """All that is shown about one layer."""

    layer: str
    usage: Usage
    advice: Sequence[str] = ()
    alarm: str | None = None  # what the collapse alarm says


def health_panel(layers: Sequence[LayerHealth], step: int) -> Panel:
    """A panel with a load bar an expert, usage entropy, dead experts and advice, for each layer."""
    parts: list[RenderableType] = []
    for health in layers:
        few = health.usage.num_experts <= MOST_BARS and len(layers) == 1
        name = None if len(layers) == 1 else health.layer
        parts += [_headline(health, name), _bars(health.usage) if few else _columns(health.usage)]
        parts += [Text.from_markup(f"[bold]->[/bold] {escape(line)}") for line in health.advice]
    steps = layers[0].usage.steps
    title = f"router health, step {step}: share of weight, last {steps} steps"
    return Panel(Group(*parts), title=title, title_align="left", expand=True)


def _headline(health: LayerHealth, name: str | None) -> Text:
    usage, dead = health.usage, health.usage.dead
    line = Text(f"{name}: " if name else "", style="bold")
    share = f" ({usage.entropy / usage.max_entropy:.0%})" if usage.max_entropy > 0 else ""
    entropy = f"usage entropy {usage.entropy:.2f} of {usage.max_entropy:.2f} bits{share}"
    line.append(entropy, style="not bold")
    count = f"   dead experts {len(dead)} of {usage.num_experts}"
    line.append(count, style=DEAD if dead else "not bold")
    if health.alarm:
        line.append(f"\nCOLLAPSE: {health.alarm}", style=DEAD)
    return line


def _bars(usage: Usage) -> Table:
    """A line an expert; a full bar is twice the fair share, or the largest share if larger."""
    table = Table.grid(padding=(0, 1), expand=True)
    for justify, ratio in (("right", None), ("left", 1), ("right", None), ("left", None)):
        table.add_column(justify=justify, ratio=ratio, no_wrap=True)  # type: ignore[arg-type]
    shares = np.nan_to_num(usage.share)
    full = _full(usage)
    for expert, share in enumerate(shares):
        style = _style(usage, expert)
        note = ""
        if usage.idle[expert] >= usage.steps:
            note = f"unused {usage.idle[expert]} steps"
        elif expert in usage.dead:
            note = "dead"
        bar = Bar(size=full, begin=0, end=float(share), color=style.split()[-1])
        cells = (f"expert {expert}", bar, f"{share:.1%}", Text(note, style=DEAD))
        table.add_row(*cells)
    return table


def _columns(usage: Usage) -> Text:
    """A column an expert, in rows of 64; x for a dead one."""
    text = Text()
    full, top = _full(usage), len(COLUMN_HEIGHTS) - 1
    for expert, share in enumerate(np.nan_to_num(usage.share)):
        if expert % EXPERTS_A_ROW == 0:
            text.append(f"{chr(10) if expert else ''}{expert:>4} ", style="dim")
        height = max(1, round(top * min(1.0, float(share) / full)))
        mark = "x" if expert in usage.dead else COLUMN_HEIGHTS[height]
        text.append(mark, style=_style(usage, expert))
    heaviest = int(np.nan_to_num(usage.share).argmax())
    text.append(f"  largest: expert {heaviest} {usage.share[heaviest]:.1%}")
    return text


def _full(usage: Usage) -> float:
    return max(2 / usage.num_experts, float(np.nan_to_num(usage.share).max()))


def _style(usage: Usage, expert: int) -> str:
    if expert in usage.dead:
        return DEAD
    heavy = min(2 / usage.num_experts, most_weight(usage.num_experts))
    return HEAVY if usage.share[expert] > heavy else FINE
