"""The default recipe on a folder of few small pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moe_lab.training.build import epochs_for
from tests.conftest import Train


def export_digits(root: Path, split_seed: int = 0) -> None:
    """The 1,797 digits of scikit-learn as PNG files, 1,257 to train and 540 to test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels = np.rint(digits.images * 255 / 16).astype(np.uint8)
    rows = np.arange(len(pixels))
    parts = train_test_split(rows, test_size=0.3, random_state=split_seed, stratify=digits.target)
    for part, chosen in zip(("train", "test"), parts, strict=True):
        for row in chosen:
            folder = root / part / str(digits.target[row])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[row]).save(folder / f"{row:04d}.png")


@pytest.mark.slow
def test_digits_of_64_pixels_are_learned_by_the_default_recipe(
    train: Train, tmp_path: Path
) -> None:
    export_digits(tmp_path / "digits")
    accuracies = []
    for seed in range(3):
        code, run = train(
            "dataset=image_folder", f"dataset.root={tmp_path / 'digits'}", f"seed={seed}",
            "trainer.accelerator=cpu", "report=false", small=False,
        )  # fmt: skip
        assert code == 0
        accuracies.append(json.loads((run / "summary.json").read_text())["test_accuracy"])
    assert np.mean(accuracies) >= 0.975, accuracies


@pytest.mark.parametrize(
    ("batches", "epochs"), [(1, 100), (9, 89), (20, 40), (40, 20), (41, 20), (400, 20)]
)
def test_a_folder_of_any_size_gets_800_steps_within_20_to_100_epochs(
    batches: int, epochs: int
) -> None:
    assert epochs_for(batches) == epochs


def test_a_typed_length_wins(train: Train, tmp_path: Path) -> None:
    for part, count in (("train", 20), ("test", 4)):
        for number in range(count):
            folder = tmp_path / "few" / part / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            shade = np.full((4, 4), number * 10 + len(part), np.uint8)
            Image.fromarray(shade).save(folder / f"{number}.png")
    for typed, epochs in (("dataset.epochs=2", 2), ("trainer.max_epochs=3", 3)):
        code, run = train(
            "dataset=image_folder", f"dataset.root={tmp_path / 'few'}", typed, "expert.hidden=4",
            "trainer.accelerator=cpu", "report=false", small=False,
        )  # fmt: skip
        assert code == 0
        assert json.loads((run / "summary.json").read_text())["epochs"] == epochs
