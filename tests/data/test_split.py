"""Imbalanced classes: what is thinned out, by how much, and what stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from moe_lab.data import ImageData
from moe_lab.data.sources import ImageSets
from moe_lab.errors import DataError
from tests.data.test_image_data import class_counts, data, uneven


def even(count: int = 200, num_classes: int = 3) -> ImageSets:
    return uneven((count,) * num_classes)


def test_a_ratio_is_a_long_tail_of_the_training_part_alone() -> None:
    module = data(even(), val_fraction=0.1, imbalance=100)
    # 180 of each class are left for training: 180 * 100 ** (0, -1/2, -1).
    assert class_counts(module, "train") == [180, 18, 2]
    assert class_counts(module, "val") == [20, 20, 20]
    assert class_counts(module, "test") == [200, 200, 200]


def test_a_list_gives_each_class_its_share_of_what_it_has() -> None:
    module = data(uneven((100, 60, 40)), val_fraction=0, imbalance=[0.5, 1.0, 0.25])
    assert class_counts(module, "train") == [50, 60, 10]


def test_the_tail_follows_the_order_of_the_chosen_classes() -> None:
    module = data(even(), val_fraction=0, classes=["c", "a"], imbalance=10)
    assert class_counts(module, "train")[:2] == [200, 20]
    assert module.class_names == ("c", "a")


@pytest.mark.parametrize(("imbalance", "kept"), [(1, [180] * 3), (1e9, [180, 1, 1])])
def test_a_ratio_of_one_keeps_all_and_no_ratio_loses_a_class(
    imbalance: float, kept: list[int]
) -> None:
    assert class_counts(data(even(), imbalance=imbalance), "train") == kept


def numbered(**options: Any) -> ImageData:
    """Each image of two classes shows its own number."""
    images = torch.arange(240, dtype=torch.uint8).view(-1, 1, 1, 1)
    labels = torch.arange(240) % 2
    return data(ImageSets(images, labels, images, labels, ("a", "b"), "n", "n"), **options)


def numbers(module: ImageData, split: str) -> list[int]:
    return sorted(module.prepare().parts[split][0].flatten().tolist())


def test_thinning_draws_from_the_training_part_and_follows_the_split_seed() -> None:
    whole, first, again = numbered(), numbered(imbalance=4), numbered(imbalance=4)
    assert numbers(first, "train") == numbers(again, "train")
    assert set(numbers(first, "train")) < set(numbers(whole, "train"))
    assert numbers(first, "val") == numbers(whole, "val")
    other = numbered(imbalance=4, split_seed=1)
    assert numbers(other, "train") != numbers(first, "train")
    kept = [number // 2 for number in numbers(first, "train") if number % 2]
    assert len(kept) == 27  # of 108: 108 / 4
    assert 30 < sum(kept) / len(kept) < 90  # not the first, nor the last, of the class


def test_the_fingerprint_knows_of_the_imbalance() -> None:
    found = [data(even(), imbalance=value).fingerprint for value in (None, 1, 10, [1.0, 0.5, 0.5])]
    assert len(set(found)) == 4
    assert data(even(), imbalance=10.0).fingerprint == found[2]


def test_statistics_are_those_of_the_images_that_are_left() -> None:
    module = data(even(), val_fraction=0, imbalance=100)  # 200, 20 and 2 of 0, 10 and 20 / 255
    assert module.mean[0].item() == pytest.approx((20 * 10 + 2 * 20) / 222 / 255)


@pytest.mark.parametrize("imbalance", [0.5, 0, -3.0, [0.5, 0.0, 1.0], [1.0, 1.5, 1.0]])
def test_impossible_imbalances_are_refused(imbalance: float | Sequence[float]) -> None:
    with pytest.raises(ValueError, match="imbalance must"):
        data(even(), imbalance=imbalance)


def test_a_share_is_needed_for_each_class() -> None:
    with pytest.raises(DataError, match=r"dataset\.imbalance lists 2 shares for 3 classes"):
        data(even(), imbalance=[0.5, 0.5]).prepare()
