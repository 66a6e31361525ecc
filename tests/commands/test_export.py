"""Exported models say what the original says, whatever the batch and whoever is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from moe_lab.commands.export import main
from moe_lab.config.compose import compose_words
from moe_lab.config.help import options
from moe_lab.dispatch import Plan, fixed_shapes
from moe_lab.training.load_run import load
from tests.conftest import SMALL, Train, Trained

pytest.importorskip("onnxruntime")
QUICK = ["repeats=2", "candidates=128"]
NAMED = ["sparse", "standard", "hierarchical", "expert_choice", "iwmn", "conv_moe", "vit_moe"]


def test_a_plan_of_fixed_shapes_adds_exactly_nothing_for_unused_experts() -> None:
    weights = torch.tensor([[0.25, 0.0, 0.75], [0.0, 0.0, 1.0]])
    values = torch.arange(12.0).view(6, 2)  # three experts of two images
    with fixed_shapes():
        plan = Plan.from_weights(weights)
    assert plan.counts == (2, 2, 2)
    expected = torch.stack([0.25 * values[0] + 0.75 * values[4], values[5]])
    assert torch.equal(plan.mix(values), expected)
    assert Plan.from_weights(weights).counts == (1, 0, 2)


def parity_of(run: Path, kind: str) -> dict[str, object]:
    out = run / f"export_{kind}"
    assert main([str(run), f"format={kind}", *QUICK]) == 0
    report: dict[str, object] = json.loads((out / "report.json").read_text())
    assert report["passed"]
    return report


@pytest.mark.slow
@pytest.mark.parametrize("model", NAMED + [m for m in options("model") if m not in NAMED])
def test_onnxruntime_repeats_every_model(model: str, train: Train) -> None:
    has_experts = OmegaConf.select(
        compose_words("train", [f"model={model}"]).config, "expert.hidden"
    )
    words = [word for word in SMALL if has_experts or not word.startswith("expert.")]
    code, run = train(*words, f"model={model}", "dataset.size=[1,16,16]", small=False)
    assert code == 0
    report = parity_of(run, "onnx")
    rows = report["parity"]
    assert isinstance(rows, list)
    assert [row["batch_size"] for row in rows] == [1, 7, 64]
    assert all(row["max_difference"] <= 1e-5 for row in rows)
    assert all(row["routing_agreement"] == 1 for row in rows)
    if model in ("sparse", "conv_moe"):  # of one image at most two experts are used
        assert rows[0]["batches_with_an_idle_expert"] == rows[0]["batches"]


@pytest.mark.slow
def test_safetensors_load_back_with_the_same_answers(trained: Trained, tmp_path: Path) -> None:
    run = trained()
    assert main([str(run), "format=safetensors", f"out={tmp_path / 'out'}", *QUICK]) == 0
    images = torch.rand(5, 1, 28, 28)
    assert torch.equal(load(tmp_path / "out").predict(images), load(run).predict(images))
    card = (tmp_path / "out" / "README.md").read_text()
    accuracy = json.loads((run / "summary.json").read_text())["test_accuracy"]
    assert f"Test accuracy {100 * accuracy:.2f} %" in card


@pytest.mark.slow
def test_a_tolerance_that_is_not_kept_fails(trained: Trained) -> None:
    assert main([str(trained()), "format=onnx", "tolerance=1e-30", *QUICK]) == 1


def test_a_folder_with_other_files_is_refused(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained()
    assert main([str(run), f"out={run}"]) == 2
    assert "holds something else than an export" in capsys.readouterr().err
