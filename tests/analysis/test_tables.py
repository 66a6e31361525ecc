from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from moe_lab.analysis.collected import LayerRecords, Records
from moe_lab.analysis.csv_files import (
    activations,
    expert_class_accuracy,
    expert_class_counts,
    expert_class_mass,
    predictions,
    write_tables,
)
from tests.analysis.plots.made_up import TARGET, WEIGHTS, four_images, many_images


def test_activations_are_the_weights_that_are_not_zero() -> None:
    table = activations(four_images().layers["router"], TARGET)
    assert table.to_numpy().tolist() == [
        [0, 0, 0.75, 0],
        [0, 1, 0.25, 0],
        [1, 1, 1.0, 0],
        [2, 1, 0.5, 1],
        [2, 3, 1.5, 1],
    ]
    assert list(table.columns) == ["sample", "expert", "weight", "label"]


def test_predictions_say_what_was_answered_and_by_whom() -> None:
    table = predictions(four_images())
    assert table["predicted"].tolist() == [0, 0, 0, 1]
    assert table["correct"].tolist() == [1, 1, 0, 1]
    assert table["confidence"].tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert table["first_expert"].tolist()[:3] == [0, 1, 3]
    assert table["first_expert"].isna().tolist() == [False, False, False, True]


def test_counts_mass_and_accuracy_by_expert_and_class() -> None:
    records = four_images()
    layer = records.layers["router"]
    assert expert_class_counts(layer, TARGET, 2).tolist() == [[1, 0], [1, 0], [0, 0], [0, 1]]
    # Class 0: shares (.75, .25) and (0, 1) of two images; class 1: (1/4, 3/4) of one.
    mass = expert_class_mass(layer, TARGET, 2)
    np.testing.assert_allclose(mass, [[0.375, 0], [0.625, 0.25], [0, 0], [0, 0.75]], atol=1e-7)
    expected = [[1, np.nan], [1, np.nan], [np.nan, np.nan], [np.nan, 0]]
    np.testing.assert_array_equal(expert_class_accuracy(layer, records), expected)


def test_a_class_without_images_has_no_mass_and_no_counts() -> None:
    layer = four_images().layers["router"]
    assert expert_class_mass(layer, TARGET, 3)[:, 2].tolist() == [0] * 4
    assert expert_class_counts(layer, TARGET, 3)[:, 2].tolist() == [0] * 4


def test_the_files_hold_the_tables(tmp_path: Path) -> None:
    paths = write_tables(four_images(), tmp_path / "tables")
    found = {path.name: path.read_text().splitlines() for path in paths}
    assert found["activations.csv"][:3] == [
        "sample,expert,weight,label",
        "0,0,0.75,0",
        "0,1,0.25,0",
    ]
    assert found["expert_class_counts.csv"][:2] == ["expert,cat,dog", "0,1,0"]
    assert found["predictions.csv"][0] == "sample,label,predicted,correct,confidence,first_expert"
    assert found["predictions.csv"][1:] == ["0,0,0,1,0.9,0", "1,0,0,1,0.8,1", "2,1,0,0,0.7,3",
                                            "3,1,1,1,0.6,"]  # fmt: skip


def test_each_layer_has_its_own_files_and_column(tmp_path: Path) -> None:
    records = many_images(layers=("early", "late"))
    names = sorted(path.name for path in write_tables(records, tmp_path))
    assert names == [
        "early_activations.csv", "early_expert_class_counts.csv", "late_activations.csv",
        "late_expert_class_counts.csv", "predictions.csv",
    ]  # fmt: skip
    header = (tmp_path / "predictions.csv").read_text().splitlines()[0]
    assert header.endswith("confidence,early_first_expert,late_first_expert")


def test_a_model_without_experts_writes_its_predictions_alone(tmp_path: Path) -> None:
    with_experts = four_images()
    records = Records(with_experts.class_names, TARGET, with_experts.log_probs, {})
    assert [path.name for path in write_tables(records, tmp_path)] == ["predictions.csv"]


def test_ten_thousand_images_of_eight_experts_take_under_a_second(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    weights = draw.dirichlet(np.ones(8), 10_000).astype(np.float32)
    layer = LayerRecords(weights, weights, weights)
    log_probs = np.log(draw.dirichlet(np.ones(10), 10_000)).astype(np.float32)
    target = draw.integers(0, 10, 10_000)
    records = Records(tuple("0123456789"), target, log_probs, {"router": layer})
    start = time.process_time()
    write_tables(records, tmp_path)
    assert time.process_time() - start < 1.0
    assert len((tmp_path / "activations.csv").read_text().splitlines()) == 80_001


def test_reading_the_activations_back_gives_the_weights(tmp_path: Path) -> None:
    write_tables(four_images(), tmp_path)
    rows = np.loadtxt(tmp_path / "activations.csv", delimiter=",", skiprows=1)
    found = np.zeros_like(WEIGHTS)
    found[rows[:, 0].astype(int), rows[:, 1].astype(int)] = rows[:, 2]
    np.testing.assert_array_equal(found, WEIGHTS)
