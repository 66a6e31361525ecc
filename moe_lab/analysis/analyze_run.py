"""Analyses a finished run on one split: what each part did, and what the routing is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from omegaconf import DictConfig
from rich.console import Console

from moe_lab.analysis.collected import Records, collect
from moe_lab.analysis.csv_files import write_tables
from moe_lab.analysis.opened_run import OpenedRun, open_run
from moe_lab.analysis.output_folder import output_folder
from moe_lab.analysis.plots import draw_run, save, square_records
from moe_lab.analysis.probes import RouterProbes, as_json, probe
from moe_lab.analysis.summary import NO_ROUTER, busiest_experts, probe_table, probe_verdict
from moe_lab.training import console
from moe_lab.training.disk import write_atomically
from moe_lab.training.recorded_files import read_lines
from moe_lab.training.run_directory import json_text


def analyze_run(request: DictConfig) -> dict[str, Any]:
    """Metrics, tables, figures and probes of a run's weights in one folder; the metrics are
    returned.
    """
    opened = open_run(request)
    folder = output_folder(request)
    folder.mkdir(parents=True, exist_ok=True)
    values = opened.measure()
    probes: dict[str, RouterProbes] | None = None
    with opened.on_device() as classifier:
        names = opened.data.class_names
        records = collect(classifier, opened.loader(), names, request.every_expert)
        if request.probes:
            probes = probe(classifier.model, opened.loader(), len(names), request.seed)
        write_analysis(opened, folder, request, values, probes)
        write_tables(records, folder)
        show_analysis(request, values, records, probes)
        if request.plots:
            save(draw_figures(opened, records), folder / "plots")
    print(f"analysis: {folder}", flush=True)
    return values


def draw_figures(opened: OpenedRun, records: Records) -> dict[str, Figure]:
    """Every figure that applies, by file stem; the classifier is on its device."""
    data, classifier = opened.data, opened.classifier
    images, *_ = data.prepare().parts[opened.split]
    opened.directory.checksums.verify(opened.directory.metrics)
    is_square = data.shape == (1, 1, 2)  # points, whose two pixels are x and y
    return draw_run(
        records,
        images.numpy(),
        history_rows=read_lines(opened.directory.metrics),
        model=classifier.model,
        toy=square_records(classifier, data.class_names) if is_square else None,
    )


def write_analysis(
    opened: OpenedRun,
    folder: Path,
    request: DictConfig,
    values: dict[str, float],
    probes: dict[str, RouterProbes] | None,
) -> None:
    """analysis.json and probes.json."""
    about = {
        "run": str(opened.directory.path),
        "split": opened.split,
        "checkpoint": request.checkpoint,
        "data_fingerprint": opened.data.fingerprint,
        "images": opened.data.sizes[opened.split],
        "class_names": list(opened.data.class_names),
    }
    tables = opened.classifier.evaluation.tables()
    content = {**about, "metrics": values, "tables": tables}
    write_atomically(folder / "analysis.json", json_text(content))
    if probes is not None:
        write_atomically(folder / "probes.json", json_text({**about, **probes_content(probes)}))


def probes_content(probes: dict[str, RouterProbes]) -> dict[str, Any]:
    """What probes.json says: a sentence and the effects of each router, or why there are none."""
    if not probes:
        return {"note": NO_ROUTER, "routers": {}}
    return {
        "routers": {
            name: {"verdict": probe_verdict(p), **as_json(p)} for name, p in probes.items()
        },
    }


def show_analysis(
    request: DictConfig,
    values: dict[str, float],
    records: Records,
    probes: dict[str, RouterProbes] | None,
) -> None:
    """The tables on the screen."""
    console.print_values(f"{request.run}: {request.split}, {request.checkpoint} weights", values)
    screen = Console()
    for name in records.layers:
        screen.print(busiest_experts(name, records, probes_of(name, records, probes or {})))
    for name, found in (probes or {}).items():
        screen.print(probe_table(name, found))
        screen.print(probe_verdict(found), soft_wrap=True)
    if probes == {}:
        screen.print(NO_ROUTER)


def probes_of(layer: str, records: Records, probes: dict[str, RouterProbes]) -> RouterProbes | None:
    """The probes of the router behind a layer: by name, or the only one there is."""
    if len(probes) == len(records.layers) == 1:
        return next(iter(probes.values()))
    return probes.get(layer)
