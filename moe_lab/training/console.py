"""What a person sees of a run: what it is about to do, its settings, the table of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from moe_lab.config.settings import Setting, compare_settings
from moe_lab.training.ranks import is_first_process

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
    say(f"run directory: {run_dir}")


def print_settings(config: Mapping[str, Any], choices: Mapping[str, str], path: Path) -> list[str]:
    """Show what differs from the defaults, and the file that has all of it; returns the lines.

    A default is what the chosen options bring; of the choice itself, what `train` and the chosen
    model bring.
    """
    settings, _ = compare_settings(config, choices)
    differing = [setting for setting in settings if setting.differs]
    heading = "what differs from the defaults:" if differing else "every setting is the default"
    lines = [heading, *setting_lines(differing), f"all settings: {path}"]
    for line in lines:
        say(line)
    return lines


def setting_lines(settings: Sequence[Setting]) -> list[str]:
    """A line each, in columns as far as 80 columns allow."""
    key_width = max((len(setting.key) for setting in settings), default=0)
    value_width = max((len(s.value) for s in settings if len(s.value) <= 20), default=0)
    return [
        f"  {s.key:<{key_width}}  {s.value:<{value_width}}  (default {s.default})" for s in settings
    ]


def print_summary(summary: dict[str, Any]) -> None:
    """The final table of a run."""
    table = Table(title=f"{summary['run_name']}: {summary['status']}", title_justify="left")
    table.add_column("result")
    table.add_column("value", justify="right")
    for label, text in summary_rows(summary):
        table.add_row(label, text)
    Console().print(table)
    print_layers(layer_rows(summary))


def print_layers(rows: Sequence[tuple[str, ...]]) -> None:
    """The routing of each layer, without the columns that nothing was measured for."""
    if not rows:
        return
    table = Table("routed layer", title="routing, layer by layer", title_justify="left")
    cells = list(zip(*rows, strict=True))
    shown = [any(column) for column in cells[1:]]
    for (label, *_), wanted in zip(LAYER_COLUMNS, shown, strict=True):
        if wanted:
            table.add_column(label, justify="right")
    for name, *values in rows:
        table.add_row(name, *(v for v, wanted in zip(values, shown, strict=True) if wanted))
    Console().print(table)


def summary_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines of the final table; what was not measured is left out."""

    def show(key: str, form: str, scale: float = 1.0, unit: str = "") -> str | None:
        value = summary.get(key)
        return None if value is None else f"{value if scale == 1 else value * scale:{form}}{unit}"

    rows = [
        ("test accuracy", show("test_accuracy", ".2f", 100, " %")),
        ("test loss", show("test_loss", ".4f")),
        ("validation accuracy (best epoch)", show("val_accuracy", ".2f", 100, " %")),
        ("parameters, total", show("params_total", ",")),
        ("parameters, active an image", show("params_active", ",")),
        ("FLOPs an image", show("flops_per_image", ",")),
        ("epochs", show("epochs", "d")),
        ("training time", show("train_seconds", ".1f", 1, " s")),
        ("images a second", show("images_per_second", ",.0f")),
        ("load: variation (CV)", show("load_cv", ".3f")),
        ("load: largest share", show("max_load_share", ".1f", 100, " %")),
        ("dead experts", show("dead_experts", ".0f")),
        ("routing entropy H_s", show("routing_entropy", ".3f", 1, " bits")),
        ("usage entropy H_u", show("usage_entropy", ".3f", 1, " bits")),
        ("information I(E;Y)", show("mutual_information", ".3f", 1, " bits")),
        ("  its permutation p-value", show("mutual_information_p_value", ".3f")),
        ("data", f"{summary.get('dataset')} ({summary.get('data_fingerprint')})"),
    ]
    return [(label, text) for label, text in rows if text is not None]


# What a routed layer is told by: the column, the metric behind it, its form and scale.
LAYER_COLUMNS = (
    ("load, CV", "load_cv", ".3f", 1),
    ("largest share, %", "max_load_share", ".1f", 100),
    ("dead", "dead_experts", ".0f", 1),
    ("dropped, %", "dropped_share", ".1f", 100),
    ("H_s, bits", "routing_entropy", ".3f", 1),
    ("H_u, bits", "usage_entropy", ".3f", 1),
    ("I(E;Y), bits", "mutual_information", ".3f", 1),
    ("by chance", "mutual_information_null", ".3f", 1),
)


def layer_rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line a routed layer, where a model has several; an empty cell was not measured."""
    layers = [name.removesuffix("_load_cv") for name in summary if name.endswith("_load_cv")]
    rows = []
    for layer in layers:
        values = [summary.get(f"{layer}_{metric}") for _, metric, _, _ in LAYER_COLUMNS]
        shown = [
            "" if value is None else f"{value * scale:{form}}"
            for value, (_, _, form, scale) in zip(values, LAYER_COLUMNS, strict=True)
        ]
        rows.append((layer, *shown))
    return rows


def print_values(title: str, values: dict[str, Any]) -> None:
    """A table of names and values as they are."""
    table = Table("name", "value", title=title, title_justify="left")
    for name, value in values.items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    Console().print(table)
