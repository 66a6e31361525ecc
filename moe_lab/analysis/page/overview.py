"""The head of the page: what the run was, its few main numbers, and its circumstances."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from moe_lab.analysis.page.html_table import Cell, Column, Table, spell_number, words
from moe_lab.analysis.page.layers import layers_of
from moe_lab.analysis.page.run_files import Record
from moe_lab.analysis.page.verdict import percent, wilson_interval
from moe_lab.config.settings import Setting
from moe_lab.metrics.registry import find


@dataclass(frozen=True)
class Card:
    """One number to take away, and what to read it with."""

    label: str
    value: str
    note: str


def cards(record: Record) -> Iterator[Card]:
    """Accuracy, cost and routing; what was not measured has no card."""
    summary = record.summary
    accuracy = summary.get("test_accuracy")
    if accuracy is not None:
        yield Card("Test accuracy", f"{100 * accuracy:.2f} %", interval(accuracy, record))
    if summary.get("val_accuracy") is not None:
        which = "best epoch" if accuracy is not None else "last epoch"
        yield Card("Validation accuracy", f"{100 * summary['val_accuracy']:.2f} %", which)
    if accuracy is not None and summary.get("test_loss") is not None:
        gap = summary.get("calibration_error")
        note = "nats per image" if gap is None else f"calibration error {percent(gap)}"
        yield Card("Test loss", f"{summary['test_loss']:.4f}", note)
    if summary.get("params_total"):
        active = f"{summary['params_active']:,} active per image"
        yield Card("Parameters", f"{summary['params_total']:,}", active)
    if summary.get("flops_per_image"):
        yield Card("FLOPs per image", f"{summary['flops_per_image']:,}", "counted, not derived")
    if summary.get("train_seconds"):
        speed = f"{summary['epochs']} epochs, {summary['images_per_second']:,.0f} images per second"
        yield Card("Training time", duration(summary["train_seconds"]), speed)
    yield from routing_cards(record)


def routing_cards(record: Record) -> Iterator[Card]:
    for layer in layers_of(record.summary, record.tables):
        of = "" if layer.only else f", {layer.name}"
        dead, experts = layer.values.get("dead_experts", 0), layer.num_experts
        count = f"{dead:.0f} of {experts}" if experts else f"{dead:.0f}"
        load = f"{layer.values['load_cv']:.3f}"
        yield Card(f"Load variation{of}", load, f"{count} experts dead")
        if "mutual_information" in layer.values:
            chance = layer.values.get("mutual_information_p_value")
            note = "bits" if chance is None else f"bits beyond chance, p = {chance:.3f}"
            information = f"{layer.values['mutual_information']:.3f}"
            yield Card(f"I(expert; class){of}", information, note)


def interval(accuracy: float, record: Record) -> str:
    images = record.num_test_images
    if not images:
        return ""
    low, high = wilson_interval(accuracy, images)
    return f"95 %: {100 * low:.1f} to {100 * high:.1f} (n = {images:,})"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def result_table(record: Record) -> Table:
    """Every number of the summary."""
    columns = [Column("value", is_number=False), Column("result"), Column("meaning", "", False)]
    rows = [
        [words(key), Cell(spell_number(value), float(value)), words(meaning_of(key))]
        for key, value in record.summary.items()
        if isinstance(value, float | int) and not isinstance(value, bool)
    ]
    return Table("Every result", columns, rows)


def meaning_of(key: str) -> str:
    """What a number of the summary says; nothing where no entry of the registry describes it."""
    known = find(key)
    return known.meaning if known else ""


def settings_table(caption: str, settings: list[Setting], compared: bool) -> Table:
    """Keys with their values and, where they could be composed, their defaults."""
    columns = [Column("key", is_number=False), Column("this run", is_number=False)]
    if compared:
        columns += [Column("default", is_number=False), Column("meaning", is_number=False)]
    rows = [
        [words(part) for part in (s.key, s.value, s.default, s.meaning)[: len(columns)]]
        for s in settings
    ]
    return Table(caption, columns, rows)


def circumstances(record: Record) -> dict[str, list[tuple[str, str]]]:
    """Data, machine and versions as headed lists of facts; what was not recorded is left out."""
    about, summary = record.environment, record.summary
    data, machine, git = about.get("data", {}), about.get("hardware", {}), about.get("git") or {}
    sizes = data.get("sizes", {})
    facts = {
        "Data": [
            ("data set", data.get("name")),
            ("copy", data.get("copy")),
            ("fingerprint", data.get("fingerprint")),
            ("images", ", ".join(f"{count:,} {split}" for split, count in sizes.items())),
        ],
        "Machine": [
            ("processor", machine.get("processor")),
            ("cores", machine.get("cores")),
            ("torch threads", machine.get("torch_threads")),
            ("memory", f"{machine['memory_gib']} GiB" if machine.get("memory_gib") else None),
            ("GPUs", ", ".join(machine.get("gpus", [])) or "none"),
            ("platform", about.get("platform")),
        ],
        "Software": [
            ("Python", about.get("python")),
            *about.get("versions", {}).items(),
            ("commit", git.get("commit")),
            ("changed since", {True: "yes", False: "no", None: None}[git.get("modified")]),
        ],
        "Run": [
            ("command", shlex.join(about.get("command", []))),
            ("directory", summary.get("run_dir")),
            ("configuration hash", summary.get("config_hash")),
        ],
    }
    known = {head: [(k, str(v)) for k, v in rows if v] for head, rows in facts.items()}
    return {head: rows for head, rows in known.items() if rows}
