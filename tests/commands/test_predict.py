"""Predictions of files, folders and data sets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from moe_lab.commands.predict import main
from moe_lab.data.image_file import read_picture
from moe_lab.training.load_run import load
from tests.conftest import Trained

SIZES = {"L": (28, 28), "RGB": (40, 30), "RGBA": (28, 50), "P": (28, 28), "1": (9, 9)}


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of several modes and sizes in a folder and below it, one of them corrupt."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for mode, (width, height) in SIZES.items():
        noise = Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8))
        noise.convert(mode).save(folder / "below" / f"{mode}.png")
    samples = generator.integers(0, 65536, (28, 28)).astype(np.uint16)
    Image.fromarray(samples).save(folder / "I;16.png")
    (folder / "broken.png").write_bytes((folder / "I;16.png").read_bytes()[:90])
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_row_of_a_file_is_what_the_model_says_of_its_pixels(
    trained: Trained, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained()
    out = pictures.parent / "found.csv"
    assert main([str(run), str(pictures), f"out={out}", "batch_size=2"]) == 0
    rows = {Path(row["file"]).name: row for row in rows_of(out)}
    assert sorted(rows) == sorted([*(f"{mode}.png" for mode in SIZES), "I;16.png", "broken.png"])
    classifier = load(run)
    for name in ("L.png", "I;16.png"):  # which have the model's size and no colours
        pixels = torch.from_numpy(read_picture(rows[name]["file"]).pixels.copy())[None, None]
        probabilities = classifier.predict(pixels)[0]
        said = [float(rows[name][f"p_{label}"]) for label in range(10)]
        assert said == pytest.approx(probabilities.tolist(), rel=1e-5, abs=1e-6)
        best = int(probabilities.argmax())
        assert int(rows[name]["predicted"]) == best
        assert float(rows[name]["confidence"]) == pytest.approx(
            float(probabilities[best]), rel=1e-5
        )
        normalised = (pixels.float() / 255 - classifier.mean) / classifier.std
        weights = classifier(normalised).routing.weights[0]
        used = [int(expert) for expert in rows[name]["experts"].split(";")]
        assert used == weights.argsort(descending=True)[:2].tolist()
        shares = [float(weight) for weight in rows[name]["weights"].split(";")]
        assert shares == pytest.approx(weights[used].tolist(), rel=1e-4)
    assert rows["broken.png"]["error"]
    assert rows["broken.png"]["predicted"] == ""
    screen = capsys.readouterr()
    assert "6 of 7 images predicted" in screen.out
    assert "3 of 6 images were resized to the model's 28 x 28 pixels" in screen.out
    assert "notes.txt" in screen.out
    assert "broken.png" in screen.err


def test_batches_and_formats_say_the_same(trained: Trained, pictures: Path) -> None:
    run = trained()
    for name, size in (("a.csv", 1), ("b.json", 3), ("c.npz", 256)):
        line = [str(run), str(pictures), f"out={pictures.parent / name}", f"batch_size={size}"]
        assert main(line) == 0
    rows = [row for row in rows_of(pictures.parent / "a.csv") if not row["error"]]
    document = json.loads((pictures.parent / "b.json").read_text())
    arrays = np.load(pictures.parent / "c.npz")
    assert [row["file"] for row in rows] == [own["file"] for own in document["predictions"]]
    assert [row["file"] for row in rows] == arrays["files"].tolist()
    assert [row["predicted"] for row in rows] == arrays["predicted"].tolist()
    assert [Path(own["file"]).name for own in document["skipped"]] == ["broken.png"]
    assert [Path(name).name for name in arrays["skipped"]] == ["broken.png"]
    for row, own, weights, probabilities in zip(
        rows,
        document["predictions"],
        arrays["weights_router"],
        arrays["probabilities"],
        strict=True,
    ):
        assert row["experts"].split(";") == list(own["experts"]["router"])
        assert {int(expert) for expert in own["experts"]["router"]} == set(weights.nonzero()[0])
        assert own["probabilities"]["3"] == pytest.approx(float(probabilities[3]), rel=1e-4)


def test_the_test_images_of_a_run_get_its_accuracy(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained()
    assert main([str(run), "test", f"out={run / 'test.csv'}", "sheet=true"]) == 0
    accuracy = json.loads((run / "summary.json").read_text())["test_accuracy"]
    assert f"{100 * accuracy:.2f} % right" in capsys.readouterr().out
    rows = rows_of(run / "test.csv")
    assert len(rows) == 100
    right = sum(row["label"] == row["predicted"] for row in rows) / 100
    assert right == pytest.approx(accuracy)
    with Image.open(run / "test_sheet.png") as sheet:
        assert sheet.width > 600


def test_images_of_another_data_set_are_brought_to_the_shape_of_the_model(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained("dataset.size=[3,12,10]", "model=standard")
    assert main([str(run), "mnist_5k", f"out={run / 'digits.csv'}"]) == 0
    assert "1,000 of 1,000 images were resized" in capsys.readouterr().out
    assert len(rows_of(run / "digits.csv")) == 1000


def test_without_a_picture_that_can_be_read_the_exit_code_is_1(
    trained: Trained, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [str(trained()), str(pictures / "broken.png"), f"out={pictures.parent / 'none.json'}"]
    assert main(line) == 1
    assert "0 of 1 images predicted" in capsys.readouterr().out


def test_a_missing_file_among_others_is_skipped_by_name(
    trained: Trained, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = pictures.parent / "two.csv"
    line = [str(trained()), str(pictures / "I;16.png"), str(pictures / "gone.png"), f"out={out}"]
    assert main(line) == 0
    assert "gone.png: there is no such file" in capsys.readouterr().err


def test_bad_requests_end_with_code_2(
    tmp_path: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained()
    for line, expected in (
        ([str(tmp_path), "test"], "holds no run"),
        ([str(run), "nowhere"], "there is no such file or folder"),
        ([str(run), "test", "out=found.txt"], "ends in .txt"),
        ([str(run), "test", "sheet=found.jpg"], "no PNG file"),
        ([str(run)], "has no value"),
    ):
        assert main(line) == 2, line
        assert expected in capsys.readouterr().err
