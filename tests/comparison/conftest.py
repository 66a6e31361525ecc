"""Records of runs without training: a composed configuration and a summary."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from moe_lab.comparison.found_runs import Group, Run
from moe_lab.comparison.recipe import Recipe, fill_in
from moe_lab.config.compose import compose_words
from moe_lab.training.run_directory import config_hash

Record = Callable[..., Path]
MakeGroup = Callable[..., Group]
LEARNED = {"dataset": {"shape": [1, 28, 28], "num_classes": 10, "mean": [0.1], "std": [0.3]}}


@functools.cache
def composed(overrides: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration that a run with these overrides keeps, and its choices."""
    composition = compose_words("train", overrides)
    composition.config.run_dir = composition.config.run_name = "run"
    fill_in(composition.config, LEARNED)
    return composition.plain(), dict(composition.choices)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Write the record of a run: record(name, overrides, seed, test_accuracy, ...) -> folder."""

    def write(
        name: str,
        overrides: tuple[str, ...] = (),
        seed: int = 0,
        accuracy: float = 0.9,
        **other: Any,
    ) -> Path:
        config, choices = composed(overrides)
        summary = {
            "status": "done", "seed": seed, "config_hash": config_hash(config),
            "choices": choices, "dataset": "mnist", "data_fingerprint": "aaaa",
            "test_accuracy": accuracy, "params_total": 100, "params_active": 50,
            "flops_per_image": 200, "train_seconds": 1.5, **other,
        }  # fmt: skip
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump({**config, "seed": seed}))
        (folder / "summary.json").write_text(json.dumps(summary))
        (folder / "environment.json").write_text(
            json.dumps({"command": ["train.py", *overrides], "hardware": {"processor": "abacus"}})
        )
        return folder

    return write


@pytest.fixture
def group() -> MakeGroup:
    """A group out of numbers: group(label, accuracies by seed, ...)."""

    def make(
        label: str, accuracies: dict[int, float], key: str = "test_accuracy", **other: Any
    ) -> Group:
        runs = [
            Run(Path(label) / str(seed), {"seed": seed, key: value, **other})
            for seed, value in accuracies.items()
        ]
        return Group(label, label, tuple(runs), Recipe({}, exact=True))

    return make
