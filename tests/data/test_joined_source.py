"""Two sources as one task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.data import ImageData, JoinedSource, SyntheticSource
from moe_lab.data.mnist import FILES, FOLDERS
from moe_lab.errors import DataError
from moe_lab.training.build import build_data
from tests.data.test_image_data import Ready, uneven
from tests.data.test_mnist_source import idx


def joined() -> JoinedSource:
    return JoinedSource({"x": Ready(uneven((4, 3))), "y": Ready(uneven((2, 5, 1)))}, "both")


def test_classes_of_the_second_source_come_after_those_of_the_first() -> None:
    sets = joined().load()
    assert sets.class_names == ("x_a", "x_b", "y_a", "y_b", "y_c")
    assert torch.bincount(sets.train_labels).tolist() == [4, 3, 2, 5, 1]
    assert torch.equal(sets.test_labels, sets.train_labels)
    # The pixels say which class of its source an image is of.
    own = torch.tensor([0, 1, 0, 1, 2])[sets.train_labels]
    assert torch.equal(sets.train_images[:, 0, 0, 0], (own * 10).to(torch.uint8))
    assert (sets.name, sets.copy) == ("both", "made for a test and made for a test")


def test_classes_of_both_are_chosen_by_name() -> None:
    module = ImageData(joined(), classes=["y_b", "x_a"], val_fraction=0)
    assert torch.bincount(module.prepare().parts["train"][1]).tolist() == [5, 4]


def test_images_that_differ_are_refused() -> None:
    sources = {"x": Ready(uneven()), "y": SyntheticSource(20, 10, (1, 8, 8), 2)}
    with pytest.raises(DataError, match=r"x \[2, 3, 4\], y \[1, 8, 8\]"):
        JoinedSource(sources, "both").load()


def test_nothing_to_join_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one source"):
        JoinedSource({}, "both")


def test_fashion_and_digits_are_one_task_of_twenty_classes(tmp_path: Path) -> None:
    for shade, folder in enumerate(FOLDERS.values()):
        raw = tmp_path / folder / "raw"
        raw.mkdir(parents=True)
        for images, labels, count in ((*FILES[:2], 40), (*FILES[2:], 10)):
            pixels = np.full((count, 28, 28), shade * 50, dtype=np.uint8)
            (raw / images).write_bytes(idx(pixels))
            (raw / labels).write_bytes(idx(np.arange(count, dtype=np.uint8) % 10))
    register_resolvers()
    typed = ["dataset=fmnist_mnist", f"dataset.root={tmp_path}", "dataset.verify=false"]
    config = check_overrides("train", typed, multirun=False)
    data = build_data(config)
    assert (data.name, data.num_classes, data.shape) == ("fmnist_mnist", 20, (1, 28, 28))
    assert data.class_names[8] == "fashion_Bag"
    assert data.class_names[17] == "digit_7"
    images, labels, domains = data.prepare().parts["test"]
    assert torch.equal(domains, (labels >= 10).long())
    assert torch.equal(images.amax((1, 2, 3)) == 0, labels >= 10)
    assert data.sizes == {"train": 72, "val": 8, "test": 20}
