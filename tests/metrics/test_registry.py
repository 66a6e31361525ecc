"""The registry: it describes every name that runs record, and the catalogue is what it says."""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import moe_lab
from moe_lab.metrics.description import Metric
from moe_lab.metrics.registry import (
    HEALTH,
    METRICS,
    catalogue,
    find,
    lookup,
    shown_in,
    tag_of,
)
from moe_lab.train import main
from tests.conftest import ROOT, SMALL

METRICS_FOLDER = Path(moe_lab.__file__).parent / "metrics"
TERMS = {
    file: list(yaml.safe_load((ROOT / f"conf/loss/parts/{file}.yaml").read_text())["terms"])
    for file in ("routing", "iterative", "adaptive")
}
# Models that record what others do not, with every term of the loss that they can learn from.
RUNS = {
    "sparse": (
        "model=sparse", "model.num_experts=10", "router=top_k", "temperature=cosine",
        *(f"loss.terms.{name}.weight=0.01" for name in TERMS["routing"]),
        *(f"loss.terms.{name}.schedule.end=0.02" for name in TERMS["routing"]),
    ),
    "iwmn": (
        "model=iwmn", "feedback=predicted_error",
        *(f"loss.terms.{name}.weight=0.1" for name in TERMS["iterative"]),
    ),
    "adaptive_depth": (
        "model=adaptive_depth", "loss.terms.cross_entropy.schedule.end=0.5",
        *(f"loss.terms.{name}.weight=0.1" for name in TERMS["adaptive"]),
    ),
    "conv_moe": ("model=conv_moe", "model.channels=[6,8]", "backbone.out_features=4"),
    "vit_moe": (
        "model=vit_moe", "model.depth=4", "model.capacity_factor=1.0", "backbone.out_features=8",
        "expert.hidden=8", "temperature=learnable",
    ),
    "dense": ("model=dense",),
    "domains": ("dataset=patch_clusters", "dataset.source.patch_size=8"),
}  # fmt: skip
NOT_METRICS = {"step"}  # the axis that the others are recorded along
OF_A_CHECK = {"step", "layer", "advice", "alarm"}  # what a line of health.jsonl says in words


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small run of a model, which the first to ask trains."""
    folder = tmp_path_factory.mktemp("runs")
    small = [word for word in SMALL if not word.startswith(("expert.", "report"))]

    @functools.cache
    def train(name: str) -> Path:
        words = [*small, "trainer.log_every_n_steps=1", "callbacks.health.every=2", *RUNS[name]]
        size = () if name == "domains" else ("dataset.size=[1,8,8]",)
        assert main([*words, *size, f"run_dir={folder / name}", "report=false"]) == 0, name
        return folder / name

    return train


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def recorded(run: Path) -> set[str]:
    """Every name that stands for a number in the files of a run."""
    rows = [*lines(run / "metrics.jsonl"), json.loads((run / "summary.json").read_text())]
    return {name for row in rows for name, value in row.items() if isinstance(value, int | float)}


@pytest.mark.parametrize("model", RUNS)
def test_every_recorded_name_is_described(model: str, run_of: Callable[[str], Path]) -> None:
    names = recorded(run_of(model))
    assert {name for name in names - NOT_METRICS if find(name) is None} == set()
    tags = [tag_of(name) for name in names if find(name) and lookup(name).split]
    assert len(set(tags)) == len(tags)  # two numbers in one curve could not be told apart


@pytest.mark.slow
def test_every_entry_is_recorded_by_a_model(run_of: Callable[[str], Path]) -> None:
    names = {name for model in RUNS for name in recorded(run_of(model))} - NOT_METRICS
    seen = {(lookup(name).metric, lookup(name).split) for name in names}
    described = {(metric, split) for metric in METRICS for split in metric.splits}
    # Test accuracy and loss keep their split in the summary.
    missing = {(m.name, s) for m, s in described - seen} - {("accuracy", ""), ("loss", "")}
    assert missing == set()


@pytest.mark.slow
def test_every_field_of_a_health_check_is_described(run_of: Callable[[str], Path]) -> None:
    rows = [row for model in RUNS for row in lines(run_of(model) / "health.jsonl")]
    fields = {name for row in rows for name in row}
    assert fields - OF_A_CHECK == {metric.name for metric in HEALTH}


def test_loss_terms_and_their_weights_need_no_entry_of_their_own(
    run_of: Callable[[str], Path],
) -> None:
    names = recorded(run_of("sparse"))
    for term in TERMS["routing"]:
        assert lookup(f"train_{term}").metric.name == "{term}"
        assert {f"train_{term}", f"weight_{term}"} <= names
    assert tag_of("train_switch_balance") == "loss/switch_balance"


@pytest.mark.parametrize(
    ("key", "tag", "label"),
    [
        ("val_accuracy", "val/accuracy", "validation accuracy"),
        ("train_loss", "train/loss", "training loss of a step"),
        ("val_load_cv", "router/load_cv", "validation load variation"),
        ("test_load_cv", "test/load_cv", "test load variation"),
        ("load_cv", "router/load_cv", "load variation"),
        ("val_block_1_load_cv", "router/block_1/load_cv", "validation load variation, block_1"),
        ("train_load_cv", "loss/load_cv", "loss term load_cv"),  # a term may have any name
        ("weight_mutual_information", "schedule/weight_mutual_information",
         "weight of mutual_information"),
        ("val_top_5_accuracy", "val/top_5_accuracy", "validation top-5 accuracy"),
        ("val_deep_share_12", "experts/deep/share_12",
         "validation load share of expert 12, deep"),
        ("test_pass_3_repaired", "test/pass_3_repaired", "test repaired by pass 3"),
        ("block_3_temperature", "schedule/block_3/temperature", "temperature, block_3"),
        ("of_my_own", "of_my_own", None),
        ("val_block_1_accuracy", "val_block_1_accuracy", None),  # a layer has none
    ],
)  # fmt: skip
def test_a_name_is_taken_apart(key: str, tag: str, label: str | None) -> None:
    found = find(key)
    assert tag_of(key) == tag
    assert (found and found.label) == label


def test_values_are_written_in_their_unit() -> None:
    assert lookup("test_accuracy").metric.show(0.98765) == "98.77 %"
    assert lookup("test_loss").metric.show(0.25) == "0.2500 nats"
    assert lookup("params_total").metric.show(1640784) == "1,640,784"  # the label names the unit
    assert lookup("train_seconds").metric.show(75.04) == "75.0 s"
    assert lookup("test_loss").metric.score(2.0) < lookup("test_loss").metric.score(1.0)
    assert lookup("val_accuracy").metric.score(0.2) < lookup("val_accuracy").metric.score(0.3)


def test_places_show_what_a_record_has_in_the_order_of_the_registry() -> None:
    record = {"val_load_cv": 1, "val_accuracy": 1, "of_my_own": 1, "train_epoch_loss": 1,
              "train_accuracy": 1, "val_f1": 1}  # fmt: skip
    shown = [found.key for found in shown_in("epoch", record)]
    assert shown == ["train_epoch_loss", "train_accuracy", "val_accuracy", "val_load_cv"]


def test_the_readme_holds_the_catalogue_as_the_registry_writes_it() -> None:
    readme = (METRICS_FOLDER / "README.md").read_text()
    assert readme.endswith(f"\n\n{catalogue()}\n"), "run python -m moe_lab.metrics.registry"


def test_an_entry_that_lacks_words_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a label, a meaning and a formula"):
        Metric(name="new", label="new", meaning="", formula="x")


def test_the_registry_needs_nothing_but_python() -> None:
    files = [METRICS_FOLDER / f"{name}.py" for name in ("description", "registry")]
    for file in (*files, *(METRICS_FOLDER / "entries").glob("*.py")):
        tree = ast.parse(file.read_text())
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert [m for m in modules if not m.startswith("moe_lab.metrics.")] == [
            m for m in modules if m in ("__future__", "collections.abc", "dataclasses", "functools",
                                        "importlib", "typing")
        ]  # fmt: skip
