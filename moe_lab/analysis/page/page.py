"""Puts a report together: one file that holds its style, script and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from moe_lab.analysis.page import overview, routing
from moe_lab.analysis.page.class_tables import class_tables
from moe_lab.analysis.page.curves import training_charts
from moe_lab.analysis.page.figures import embedded_figures
from moe_lab.analysis.page.health import health_part
from moe_lab.analysis.page.html_table import HeatMap, Table
from moe_lab.analysis.page.layers import layers_of
from moe_lab.analysis.page.passes import pass_table
from moe_lab.analysis.page.run_files import Record, read_record
from moe_lab.analysis.page.verdict import verdict
from moe_lab.config.settings import compare_settings
from moe_lab.training.disk import write_atomically
from moe_lab.training.run_directory import RunDirectory


@dataclass(frozen=True)
class LayerPart:
    """What the page shows of one routing."""

    name: str
    experts: Table | None
    heat_maps: Sequence[HeatMap]


def write_report(run: RunDirectory, folder: Path | None = None) -> Path:
    """Build report.html from the files of a run, in the run or another folder; ConfigError if
    there is no run.
    """
    page = render(read_record(run))
    path = run.report if folder is None else folder / run.report.name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)
    return path


def render(record: Record) -> str:
    """The whole page as HTML; every text from the run is escaped."""
    environment = Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html.jinja")
    return template.render(
        style=Markup(source("page.css")), script=Markup(source("page.js")), **content(record)
    )


def source(name: str) -> str:
    """A text file of this package."""
    return (files("moe_lab.analysis.page") / name).read_text(encoding="utf-8")


def content(record: Record) -> dict[str, Any]:
    """The values of the template."""
    summary, config = record.summary, record.config
    curves, more_curves = training_charts(record.metrics, summary.get("epochs"))
    settings, compared = compare_settings(config, summary.get("choices", {}))
    changed = [setting for setting in settings if setting.differs]
    return {
        "name": summary.get("run_name") or config.get("run_name") or record.path.name,
        "status": summary.get("status", "unfinished"),
        "about": {
            "model": summary.get("model"),
            "data": summary.get("dataset") or config.get("dataset", {}).get("name"),
            "seed": summary.get("seed", config.get("seed")),
        },
        "verdict": unbroken(verdict(summary, record.tables, record.num_test_images)),
        "cards": list(overview.cards(record)),
        "compared": compared,
        "changed": overview.settings_table("Differences", changed, True) if changed else None,
        "settings": overview.settings_table("Every setting", settings, compared),
        "curves": curves,
        "more_curves": more_curves,
        "layers": layer_parts(record),
        "predictions": class_tables(record.tables, record.class_names),
        "passes": pass_table(record.tables),
        "health": health_part(record.health),
        "figures": embedded_figures(record.path, record.plots),
        "results": overview.result_table(record),
        "circumstances": overview.circumstances(record),
    }


def unbroken(text: str) -> str:
    """Keep a number and its unit on one line."""
    return text.replace(" %", "\u00a0%").replace("p = ", "p\u00a0=\u00a0")


def layer_parts(record: Record) -> list[LayerPart]:
    """Tables and heat-maps of every routing that was recorded."""
    names = record.class_names
    return [
        LayerPart(
            "" if layer.only else layer.name,
            routing.expert_table(layer, names),
            routing.heat_maps(layer, names),
        )
        for layer in layers_of(record.summary, record.tables)
        if layer.tables
    ]
