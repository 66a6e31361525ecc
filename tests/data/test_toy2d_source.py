from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from moe_lab.data import Toy2DSource, fingerprint
from moe_lab.data.toy2d import BOARD, KINDS, RADIUS

Train = Callable[..., tuple[int, Path]]


@pytest.mark.parametrize("kind", KINDS)
def test_points_are_images_of_two_pixels_and_classes_are_equally_frequent(kind: str) -> None:
    sets = Toy2DSource(kind, num_train=60, num_test=30, num_classes=3).load()
    assert sets.train_images.shape == (60, 1, 1, 2)
    assert sets.train_images.dtype == torch.uint8
    assert torch.bincount(sets.train_labels).tolist() == [20] * 3
    assert torch.bincount(sets.test_labels).tolist() == [10] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_points_depend_on_the_seed_alone(kind: str) -> None:
    first = fingerprint(Toy2DSource(kind, seed=1).load())
    torch.manual_seed(7)
    assert fingerprint(Toy2DSource(kind, seed=1).load()) == first
    assert fingerprint(Toy2DSource(kind, seed=2).load()) != first


@pytest.mark.parametrize("num_classes", [2, 3, 4])
def test_without_noise_a_field_of_the_board_has_one_class(num_classes: int) -> None:
    sets = Toy2DSource("checkerboard", 3000, num_classes=num_classes, noise=0.0).load()
    place = sets.train_images.view(-1, 2) / 255 * BOARD
    inside = ((place - place.round()).abs() > 0.02).all(1)  # the grid of pixels blurs the edges
    column, row = place[inside].floor().long().T
    assert torch.equal((column + row) % num_classes, sets.train_labels[inside])
    assert len(torch.unique(column * BOARD + row)) == BOARD**2


def test_without_noise_circles_have_the_radius_of_their_class() -> None:
    sets = Toy2DSource("circles", 400, num_classes=4, noise=0.0).load()
    radius = (sets.train_images.view(-1, 2) / 255 - 0.5).norm(dim=1)
    expected = RADIUS * (sets.train_labels + 1) / 4
    assert float((radius - expected).abs().max()) < 0.003  # half a pixel's diagonal


def test_a_class_of_blobs_lies_on_both_sides_of_the_centre() -> None:
    sets = Toy2DSource("blobs", 2000, noise=0.0).load()
    points = sets.train_images.view(-1, 2) / 255 - 0.5
    mine = points[sets.train_labels == 0]
    assert mine.mean(0).tolist() == pytest.approx([0, 0], abs=0.03)
    assert float((mine[:, 0].abs() > 0.1).float().mean()) > 0.99
    assert 0.4 < float((mine[:, 0] > 0).float().mean()) < 0.6


def test_noise_moves_points_by_its_size_and_never_out_of_the_square() -> None:
    still = Toy2DSource("circles", 4000, noise=0.0).load().train_images.view(-1, 2) / 255
    moved = Toy2DSource("circles", 4000, noise=0.02).load().train_images.view(-1, 2) / 255
    assert float((moved - still).std()) == pytest.approx(0.02, rel=0.05)
    wild = Toy2DSource("circles", 4000, noise=5.0).load().train_images
    assert {int(wild.min()), int(wild.max())} == {0, 255}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"kind": "spiral"}, "kind"),
        ({"num_classes": 1}, "num_classes"),
        ({"num_classes": 5}, "num_classes"),
        ({"num_test": 1}, "num_test"),
        ({"noise": -0.1}, "noise"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments_are_refused_by_name(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Toy2DSource(**options)


def test_a_mixture_learns_the_circles_in_seconds(
    train: Train, read_json: Callable[[Path], dict[str, Any]]
) -> None:
    code, run = train(
        "dataset=toy2d", "dataset.source.kind=circles", "model=sparse", "dataset.epochs=6",
        "trainer.accelerator=cpu", "expert.hidden=64", small=False,
    )  # fmt: skip
    assert code == 0
    summary = read_json(run / "summary.json")
    assert summary["dataset"] == "toy2d_circles"
    assert summary["test_accuracy"] > 0.95


def test_a_flip_is_refused_because_it_would_swap_the_coordinates(train: Train) -> None:
    code, _ = train("dataset=toy2d", "dataset.augment.flip=true", small=False)
    assert code == 2
