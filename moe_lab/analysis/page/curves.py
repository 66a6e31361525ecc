"""Which curves of training are shown together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from moe_lab.analysis.page.chart import Chart, Points, line_chart

STAGES = {"train": "training", "val": "validation"}
PASS = re.compile(r"pass_(\d+)_(.+)")
ENTROPY = re.compile(r"(.*?)_?(routing|usage)_entropy")
# The charts that everybody looks at, in this order; a layer's name may stand in front.
FIRST = (
    "accuracy", "loss", "accuracy by pass", "load_cv", "max_load_share", "entropies",
    "mutual_information",
)  # fmt: skip


def training_charts(
    metrics: Sequence[dict[str, Any]], epochs: int | None
) -> tuple[list[Chart], list[Chart]]:
    """The charts that everybody looks at, and all others."""
    groups: dict[str, dict[str, Points]] = {}
    for key, points in series(during_training(metrics, epochs)).items():
        chart, line = place(key)
        groups.setdefault(chart, {})[line] = points
    first = [name for ending in FIRST for name in groups if is_of(name, ending)]
    others = [name for name in groups if name not in first]
    return drawn(groups, first), drawn(groups, sorted(others))


def drawn(groups: Mapping[str, dict[str, Points]], names: Iterable[str]) -> list[Chart]:
    return [line_chart(title(name), groups[name]) for name in names]


def is_of(name: str, ending: str) -> bool:
    """Whether a chart shows this, for the model or for one of its layers."""
    is_layers = ending not in ("accuracy", "loss") and name.endswith(f"_{ending}")
    return name == ending or is_layers


def place(key: str) -> tuple[str, str]:
    """The chart that a logged number belongs to, and its line there."""
    stage, _, name = key.partition("_")
    if stage not in STAGES:
        return key, key
    if key == "train_epoch_loss":
        return "loss", STAGES[stage]
    if key == "train_loss":
        return "loss of single steps", STAGES[stage]
    if match := PASS.fullmatch(name):
        return f"{match[2]} by pass", f"pass {match[1]}"
    if match := ENTROPY.fullmatch(name):
        layer = f"{match[1]}_" if match[1] else ""
        return f"{layer}entropies", f"{match[2]} entropy"
    return name, STAGES[stage]


def during_training(
    metrics: Sequence[dict[str, Any]], epochs: int | None
) -> Iterator[dict[str, Any]]:
    """Without the test, and without the validation of the best weights that comes before it."""
    tested = any(key.startswith("test_") for row in metrics for key in row)
    for row in metrics:
        if not tested or epochs is None or row.get("epoch", 0) < epochs:
            yield row


def series(rows: Iterator[dict[str, Any]]) -> dict[str, Points]:
    """(step, value) of every number that was logged."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for key, value in row.items():
            is_number = isinstance(value, float | int) and not isinstance(value, bool)
            if key not in ("step", "epoch") and is_number and row.get("step") is not None:
                found.setdefault(key, []).append((row["step"], value))
    return dict(found)


def title(name: str) -> str:
    return name.replace("_", " ").replace(" cv", " variation (CV)")
