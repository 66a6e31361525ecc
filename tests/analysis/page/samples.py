"""Hand-made run directories whose numbers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from moe_lab.training.run_directory import RunDirectory

CONFUSION = [[50, 0, 0], [10, 20, 0], [5, 0, 15]]  # rows: true classes; 100 images, 85 right
DENSE = {
    "status": "done",
    "run_name": "by_hand",
    "seed": 0,
    "model": "dense",
    "dataset": "synthetic",
    "epochs": 2,
    "test_accuracy": 0.85,
    "test_loss": 0.4,
    "val_accuracy": 0.8,
    "params_total": 1000,
    "params_active": 1000,
    "flops_per_image": 2000,
    "train_seconds": 75.0,
    "images_per_second": 100.0,
}
ROUTING = {
    "load_cv": 0.1,
    "max_load_share": 0.3,
    "max_load_ratio": 1.2,
    "dead_experts": 0.0,
    "experts_per_image": 2.0,
    "usage_entropy": 1.9,
    "mutual_information": 0.5,
    "mutual_information_p_value": 0.001,
    "specialisation": 0.4,
}
LAYER = {
    "load": [0.25, 0.75],
    "used_share": [0.25, 0.75],
    "first": [[20, 5, 0], [30, 25, 20]],
    "class_share": [[0.8, 0.2, 0.0], [0.4, 1 / 3, 4 / 15]],
    "expert_share": [[0.4, 1 / 6, 0.0], [0.6, 5 / 6, 1.0]],
    "accuracy_by_class": [[1.0, 0.4, None], [1.0, 0.72, 0.75]],
    "co_activation": [[25, 0], [0, 75]],
}
TABLES = {
    "class_names": ["cat", "dog", "<b>bird</b>"],
    "confusion": CONFUSION,
    "calibration": {"images": [0, 40, 60], "confidence": [None, 0.7, 0.9],
                    "accuracy": [None, 0.75, 0.9]},
    "layers": {"router": LAYER},
}  # fmt: skip


def write_run(
    path: Path,
    summary: dict[str, Any] | None,
    tables: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    **lines: list[dict[str, Any]],
) -> RunDirectory:
    """A run directory with these contents; `metrics` and `health` are lines of their files."""
    path.mkdir(parents=True, exist_ok=True)
    run = RunDirectory(path)
    run.config.write_text(yaml.safe_dump(config or {"seed": 0, "dataset": {"name": "synthetic"}}))
    for file, content in ((run.summary, summary), (path / "tables.json", tables)):
        if content is not None:
            file.write_text(json.dumps(content))
    for name, rows in lines.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (path / f"{name}.jsonl").write_text(text)
    return run
