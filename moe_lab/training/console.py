"""What a person sees: the configuration tree, the table of results, errors on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from moe_lab.config.tree import leaves, spell


def print_config(config: DictConfig, choices: dict[str, Any]) -> str:
    """Show the composed configuration as a tree; returns the same tree as plain text.

    A group that another one refers to is shown once, at its own place; loss terms that are off
    are left out.
    """
    tree = Tree("configuration")
    branches: dict[str, Tree] = {}
    off = tuple(f"loss.terms.{name}." for name in terms_off(config))
    for key, value in leaves(config):
        *path, name = key.split(".")
        if name.startswith("_") or key.startswith(off):
            continue
        branch = tree
        for depth, word in enumerate(path):
            dotted = ".".join(path[: depth + 1])
            if dotted not in branches:
                choice = choices.get(word) if depth == 0 else None
                label = f"[bold]{word}[/bold] = [cyan]{choice}[/cyan]" if choice else word
                branches[dotted] = branch.add(label)
            branch = branches[dotted]
        branch.add(f"{name}: {escape(spell(value))}")
    Console(soft_wrap=True).print(tree)
    plain = Console(width=120, color_system=None)
    with plain.capture() as captured:
        plain.print(tree)
    return captured.get()


def terms_off(config: DictConfig) -> list[str]:
    """Loss terms whose weight is 0 and stays so."""
    terms = OmegaConf.select(config, "loss.terms") or {}
    return [
        str(name)
        for name, term in terms.items()
        if term.weight == 0 and not OmegaConf.select(term, "schedule.end")
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
