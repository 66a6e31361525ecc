"""What a person sees of a run: what it is about to do, its settings, the table of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from moe_lab.config.settings import Setting, compare_settings
from moe_lab.config.typed import from_here
from moe_lab.metrics.registry import METRICS, layers_in, shown_in
from moe_lab.training.ranks import is_first_process
from moe_lab.training.run_directory import RunDirectory

# The choices that say best what a run is.
NAMED_FIRST = ("experiment", "model", "router", "expert", "dataset")


def say(text: str) -> None:
    """One line about what is going on, from the first process."""
    if is_first_process():
        print(text, flush=True)


def announce(config: DictConfig, choices: Mapping[str, Any], run_dir: str | Path) -> None:
    """What is about to be trained and where it goes, before anything slow is imported."""
    parts = [f"{group}={choices[group]}" for group in NAMED_FIRST if choices.get(group)]
    say(" ".join(["train", *parts, f"seed={config.seed}"]))
    say(f"run directory: {from_here(run_dir)}")


def settings_lines(config: Mapping[str, Any], choices: Mapping[str, str], path: Path) -> list[str]:
    """What differs from the defaults, and the file that has every setting.

    A default is what the chosen options bring; of the choice itself, what `train` and the chosen
    model bring.
    """
    settings, _ = compare_settings(config, choices)
    differing = [setting for setting in settings if setting.differs]
    heading = "what differs from the defaults:" if differing else "every setting is the default"
    return [heading, *in_columns(differing), f"all settings: {from_here(path)}"]


def in_columns(settings: Sequence[Setting]) -> list[str]:
    """A line each, in columns as far as 80 columns allow."""
    key_width = max((len(setting.key) for setting in settings), default=0)
    value_width = max((len(s.value) for s in settings if len(s.value) <= 20), default=0)
    return [
        f"  {s.key:<{key_width}}  {s.value:<{value_width}}  (default {s.default})" for s in settings
    ]


def print_result(directory: RunDirectory) -> None:
    """The table of a run's result, and where it is."""
    print_summary(directory.read_summary())
    print(f"run directory: {from_here(directory.path)}", flush=True)


def print_summary(summary: dict[str, Any]) -> None:
    """The final table of a run."""
    print(f"{summary['run_name']}: {summary['status']}")
    table = Table("result")
    table.add_column("value", justify="right")
    for label, text in summary_rows(summary):
        table.add_row(label, text)
    Console().print(table)
    print_layers(layer_rows(summary))


def print_layers(rows: Sequence[tuple[str, ...]]) -> None:
    """The routing of each layer, without the columns that nothing was measured for."""
    if not rows:
        return
    print("routing, layer by layer")
    table = Table("layer")
    cells = list(zip(*rows, strict=True))
    shown = [any(column) for column in cells[1:]]
    for metric, wanted in zip(LAYER_METRICS, shown, strict=True):
        if wanted:
            table.add_column(metric.heading, justify="right")
    for name, *values in rows:
        table.add_row(name, *(v for v, wanted in zip(values, shown, strict=True) if wanted))
    Console().print(table)


def summary_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines of the final table, the test first; what was not measured is left out."""
    measured = [
        found
        for found in shown_in("summary", summary)
        if not found.layer and summary[found.key] is not None
    ]
    rows = [
        (found.label, found.metric.show(summary[found.key]))
        for found in sorted(measured, key=lambda found: found.split != "test")
    ]
    subset = summary.get("test_subset")
    if subset is not None:
        rows.append(("tested on", f"{subset:,} of the test images only"))
    return [*rows, ("data", f"{summary.get('dataset')} ({summary.get('data_fingerprint')})")]


LAYER_METRICS = tuple(metric for metric in METRICS if "layer" in metric.shown)


def layer_rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line a routed layer, where a model has several; an empty cell was not measured."""
    rows = []
    for layer in filter(None, layers_in(summary)):
        values = [summary.get(f"{layer}_{metric.name}") for metric in LAYER_METRICS]
        shown = [
            "" if value is None else metric.number(value)
            for value, metric in zip(values, LAYER_METRICS, strict=True)
        ]
        rows.append((layer, *shown))
    return rows


def print_values(title: str, values: dict[str, Any]) -> None:
    """A table of names and values as they are."""
    table = Table("name", "value", title=title, title_justify="left")
    for name, value in values.items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    Console().print(table)
