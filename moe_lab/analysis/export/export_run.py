"""Exports a run's model, compares it with the original and writes both down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from moe_lab.analysis.export.formats import FILES, as_function, opened, write
from moe_lab.analysis.export.inputs import images_that_hit, in_range
from moe_lab.analysis.export.model_card import model_card
from moe_lab.analysis.export.parity import BATCH_SIZES, compare, has_parity, latencies, show
from moe_lab.analysis.export.pixel_model import PixelModel, output_names
from moe_lab.analysis.page.run_files import read_json
from moe_lab.config.typed import from_here
from moe_lab.config.version import VERSION
from moe_lab.training.disk import write_atomically
from moe_lab.training.load_run import load
from moe_lab.training.run_directory import RunDirectory, without_nan

EXAMPLE_IMAGES = 5  # a size that no dimension of a model has by itself


def export_run(request: DictConfig, out: Path) -> bool:
    """Whether the exported model equals the original within the tolerance."""
    run = RunDirectory(str(request.run))
    model = PixelModel(load(run.path, request.checkpoint))
    shape = tuple(model.classifier.config["dataset"]["shape"])
    example = torch.zeros(EXAMPLE_IMAGES, *shape, dtype=torch.uint8)
    names = output_names(model, example)
    original = as_function(model)
    layers = [name.removeprefix("weights_") for name in names[1:]]
    tried = images_that_hit(original, layers, shape, request)
    out.mkdir(parents=True, exist_ok=True)
    write(model, request.format, in_range(example, request), names, out)
    exported = opened(request.format, out)
    images = in_range(tried.images, request)
    report: dict[str, Any] = {
        "format": request.format,
        "file": FILES[request.format],
        "moe_lab": VERSION,
        "torch": torch.__version__,
        "input": request.input,
        "outputs": names,
        "images": len(images),
        "searched_among": list(tried.sources),
        "experts_not_hit": dict(tried.not_hit),
        "tolerance": request.tolerance,
        "parity": [compare(original, exported, images, size) for size in BATCH_SIZES],
        "latency": latencies(original, exported, images, request.repeats),
    }
    report["passed"] = has_parity(report["parity"], request.tolerance)
    text = json.dumps(without_nan(report), indent=2, allow_nan=False)
    write_atomically(out / "report.json", text + "\n")
    config = model.classifier.config
    tables, summary = read_json(run.tables), read_json(run.summary)
    classes = tables.get("class_names") or range(config["dataset"]["num_classes"])
    card = model_card(report, summary, config, [str(name) for name in classes])
    (out / "README.md").write_text(card, encoding="utf-8")
    show(report)
    verdict = "the same within" if report["passed"] else "FAILED: different by more than"
    print(f"{verdict} {request.tolerance:g}\nexport: {from_here(out)}", flush=True)
    return bool(report["passed"])
