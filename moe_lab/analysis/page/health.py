"""What was noticed about the routers during training, and how their experts were used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from moe_lab.analysis.page.html_table import Column, HeatMap, Table, number, words
from moe_lab.analysis.page.routing import MOST_CELLS
from moe_lab.analysis.page.run_files import LoggedRow

MOST_CHECKS = 60  # side by side; more are thinned out
FULL_SHADE = 2.0  # fair shares
NUMBERS = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class HealthPart:
    """Alarms and advice of all checks, and the use of experts over time for each layer."""

    events: Table | None
    strips: Sequence[HeatMap]


def health_part(checks: Sequence[LoggedRow]) -> HealthPart | None:
    """None where nothing was checked: without a router, or without the callback."""
    if not checks:
        return None
    by_layer: dict[str, list[LoggedRow]] = {}
    for check in checks:
        by_layer.setdefault(check["layer"], []).append(check)
    strips = [
        strip("Use of experts" if len(by_layer) == 1 else f"Use of experts, {layer}", of_layer)
        for layer, of_layer in by_layer.items()
    ]
    return HealthPart(event_table(checks), strips)


def event_table(checks: Sequence[LoggedRow]) -> Table | None:
    """A row a trouble, however often it was seen; its text is that of the last time."""
    seen: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
    for check in checks:
        alarms = [("alarm", check["alarm"])] if check.get("alarm") else []
        for kind, text in [*alarms, *(("advice", text) for text in check["advice"])]:
            trouble = NUMBERS.sub("", text)  # "unused for 200 steps" grows with every check
            seen.setdefault((check["layer"], kind, trouble), []).append((check["step"], text))
    if not seen:
        return None
    rows = [
        [
            words(kind),
            words(layer),
            number(found[0][0], ",d"),
            number(found[-1][0], ",d"),
            number(len(found), ",d"),
            words(found[-1][1]),
        ]
        for (layer, kind, _), found in seen.items()
    ]
    columns = [
        Column("kind", is_number=False),
        Column("layer", is_number=False),
        Column("first step"),
        Column("last step"),
        Column("checks", "in which it was seen"),
        Column("what", "as of the last time", is_number=False),
    ]
    return Table("Alarms and advice", columns, rows)


def strip(caption: str, checks: Sequence[LoggedRow]) -> HeatMap:
    """Share of weight of each expert, check by check."""
    num_experts = len(checks[0]["share"])
    most = max(1, min(MOST_CHECKS, MOST_CELLS // num_experts))
    shown = checks[::-1][:: -(-len(checks) // most)][::-1]
    full = FULL_SHADE / num_experts
    return HeatMap(
        caption,
        f"Share of weight from step {shown[0]['step']:,} (left) to step {shown[-1]['step']:,} "
        f"(right), a line an expert; full colour: {FULL_SHADE:g} fair shares or more.",
        "expert",
        "step",
        [str(expert) for expert in range(num_experts)],
        [f"{check['step']:,}" for check in shown],
        [[min(1.0, check["share"][e] / full) for check in shown] for e in range(num_experts)],
        [],
        is_strip=True,
    )
