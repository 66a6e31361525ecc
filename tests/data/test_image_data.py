from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from moe_lab.data import Augment, ImageData, ImageSets, Source, SyntheticSource, fingerprint
from moe_lab.data.sources import pixel_statistics, stratified
from moe_lab.errors import DataError


@dataclass
class Ready(Source):
    sets: ImageSets

    def load(self) -> ImageSets:
        return self.sets


def uneven(counts: tuple[int, ...] = (100, 60, 40)) -> ImageSets:
    """Images whose every pixel is 10 x label, `counts` of each class, the same for the test."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = (labels * 10).to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 2, 3, 4)
    names = tuple("abc"[: len(counts)])
    return ImageSets(images, labels, images, labels, names, "uneven", "made for a test")


def data(sets: ImageSets | None = None, **options: Any) -> ImageData:
    return ImageData(Ready(sets or uneven()), **options)


def class_counts(module: ImageData, split: str) -> list[int]:
    return torch.bincount(module.prepare().parts[split][1], minlength=3).tolist()


def test_validation_split_holds_each_class_in_proportion():
    module = data(val_fraction=0.1)
    assert module.sizes == {"train": 180, "val": 20, "test": 200}
    assert class_counts(module, "val") == [10, 6, 4]
    assert class_counts(module, "train") == [90, 54, 36]


def test_subset_is_drawn_before_the_split_and_in_proportion():
    module = data(subset=50, val_fraction=0.2)
    assert module.sizes == {"train": 40, "val": 10, "test": 200}
    assert class_counts(module, "val") == [5, 3, 2]
    assert class_counts(module, "train") == [20, 12, 8]


def test_a_subset_leaves_the_test_whole_and_says_so():
    assert data().notes == ()
    assert data(subset=50).notes == (
        "50 of 200 training images (dataset.subset); the test set stays whole, 200 images "
        "(dataset.test_subset takes fewer)",
    )
    assert "test_subset" not in data(subset=50).copy


def test_a_test_subset_is_drawn_in_proportion_by_the_split_seed_and_named():
    sets = SyntheticSource(200, 100, (1, 8, 8), num_classes=5).load()
    modules = [data(sets, test_subset=20, split_seed=seed) for seed in (0, 0, 1)]
    drawn = [module.prepare().parts["test"] for module in modules]
    assert torch.bincount(drawn[0][1]).tolist() == [4] * 5
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert not torch.equal(drawn[0][0], drawn[2][0])
    rows = {tuple(image.flatten().tolist()) for image in drawn[0][0]}
    assert rows <= {tuple(image.flatten().tolist()) for image in sets.test_images}
    assert modules[0].copy.endswith("; 20 of its 100 test images")
    (note,) = modules[0].notes
    assert note.startswith("tested on 20 of 100 test images (dataset.test_subset)")
    assert len(data(sets, test_subset=20, subset=50).notes) == 2


def test_a_test_subset_moves_neither_training_nor_validation():
    sets = SyntheticSource(200, 100, (1, 8, 8), num_classes=5).load()
    whole, part = data(sets, subset=100).prepare(), data(sets, subset=100, test_subset=20).prepare()
    for name in ("train", "val"):
        assert torch.equal(whole.parts[name][0], part.parts[name][0])
    assert whole.fingerprint != part.fingerprint


def test_stratified_counts_are_exact_where_they_do_not_divide():
    labels = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    for count in range(11):
        chosen = stratified(labels, count, torch.Generator().manual_seed(count))
        assert int(chosen.sum()) == count
        drawn = torch.bincount(labels[chosen], minlength=3)
        assert torch.all((drawn - torch.tensor([0.5, 0.3, 0.2]) * count).abs() < 1)


def test_splits_do_not_overlap_and_depend_on_the_split_seed():
    sets = SyntheticSource(200, 50, (1, 8, 8), num_classes=5).load()
    parts = [data(sets, split_seed=seed).prepare().parts for seed in (0, 0, 1)]
    assert torch.equal(parts[0]["val"][0], parts[1]["val"][0])
    assert not torch.equal(parts[0]["val"][0], parts[2]["val"][0])
    rows = torch.cat([parts[0]["train"][0], parts[0]["val"][0]]).flatten(1)
    assert len(rows.unique(dim=0)) == len(sets.train_images.flatten(1).unique(dim=0)) == 200


@pytest.mark.parametrize("classes", [[2, 0], ["c", "a"], ["c", 0]])
def test_classes_are_filtered_and_relabelled_in_list_order(classes: list[int | str]):
    module = data(classes=classes, val_fraction=0)
    assert module.class_names == ("c", "a")
    assert module.num_classes == 2
    images, labels = module.prepare().parts["train"]
    assert torch.bincount(labels).tolist() == [40, 100]
    assert torch.all(images[labels == 0] == 20)
    assert torch.all(images[labels == 1] == 0)
    assert module.sizes["test"] == 140


def test_statistics_are_those_of_the_training_split_in_unit_range():
    module = data(val_fraction=0)
    pixels = module.prepare().parts["train"][0].double() / 255
    assert module.mean.shape == module.std.shape == (2,)
    assert module.mean[0].item() == pytest.approx(pixels[:, 0].mean().item(), rel=1e-6)
    assert module.std[1].item() == pytest.approx(pixels[:, 1].std(correction=0).item(), rel=1e-5)


def test_a_constant_channel_is_not_divided_by_zero():
    mean, std = pixel_statistics(torch.full((4, 2, 3, 3), 51, dtype=torch.uint8))
    torch.testing.assert_close(mean, torch.tensor([0.2, 0.2]))
    assert std.tolist() == [1.0, 1.0]


def test_given_statistics_are_used_as_they_are():
    module = data(mean=[0.1, 0.2], std=[0.3, 0.4])
    assert module.mean.tolist() == pytest.approx([0.1, 0.2])
    images, labels = next(iter(module.loader("test")))
    torch.testing.assert_close(images[:, 1, 0, 0], (labels * 10 / 255 - 0.2) / 0.4)


def test_fingerprint_changes_with_pixels_labels_classes_and_split():
    sets, base = uneven(), data().fingerprint
    images, labels = sets.train_images.clone(), sets.train_labels.clone()
    images[0, 0, 0, 0] += 1
    labels[0] = 1
    others = [
        data(replace(sets, train_images=images)),
        data(replace(sets, train_labels=labels)),
        data(replace(sets, class_names=("a", "b", "d"))),
        data(classes=["a", "b"]),
        data(subset=199),
        data(val_fraction=0.2),
        data(split_seed=1),
    ]
    assert len({base, *(module.fingerprint for module in others)}) == 8
    assert data(seed=5, augment=Augment(shift=1)).fingerprint == base
    assert len(base) == len(fingerprint(sets)) == 16


def test_loaders_shuffle_and_augment_only_for_training():
    module = data(augment=Augment(flip=True), batch_size=16, eval_batch_size=64)
    train, test = module.train_dataloader(), module.test_dataloader()
    assert train is module.train_dataloader()
    assert train.shuffle
    assert train.augment is not None
    assert not test.shuffle
    assert test.augment is None
    assert (len(train), len(test)) == (12, 4)
    assert module.loader("test").images is module.loader("test").images
    assert module.shape == (2, 3, 4)


def test_without_a_validation_split_lightning_gets_no_loader():
    assert data(val_fraction=0).val_dataloader() == []


def test_the_source_is_read_once():
    module = data()
    first = module.prepare()
    module.setup("fit")
    module.prepare_data()
    assert module.prepare() is first


def broken(**changes: Any) -> ImageSets:
    return replace(uneven(), **changes)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (broken(train_labels=torch.zeros(3, dtype=torch.int64)), "200 images but 3 labels"),
        (broken(class_names=("a", "b")), "labels run from 0 to 2"),
        (broken(test_labels=uneven().test_labels - 1), "labels run from -1 to 1"),
        (broken(test_images=torch.zeros(200, 1, 3, 4, dtype=torch.uint8)), r"\(2, 3, 4\)"),
        (broken(train_images=torch.zeros(200, 2, 3, 4)), "torch.float32"),
    ],
)
def test_data_that_does_not_fit_together_is_refused(sets: ImageSets, said: str):
    with pytest.raises(DataError, match=said):
        data(sets).prepare()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"subset": 201}, "dataset.subset=201, but uneven has 200"),
        ({"test_subset": 201}, "dataset.test_subset=201, but uneven has 200"),
        ({"classes": ["a", "z"]}, "'z'"),
        ({"classes": [0, 3]}, "index from 0 to 2"),
        ({"classes": [0, "a"]}, "named twice"),
        ({"mean": [0.5]}, "one for each of the 2 channels"),
        ({"subset": 1}, "at least one image each"),
    ],
)
def test_requests_the_data_cannot_meet_are_data_errors(options: dict[str, Any], said: str):
    with pytest.raises(DataError, match=said):
        data(**options).prepare()


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"eval_batch_size": 1.5},
        {"val_fraction": 1.0},
        {"subset": 0},
        {"test_subset": 0},
        {"classes": [1, 1]},
        {"std": [0.0]},
        {"seed": -1},
    ],
)
def test_bad_arguments_are_refused_by_name(options: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(options))):
        data(**options)


def test_split_seeds_draw_from_one_pool_and_other_rules_or_images_are_another() -> None:
    pools = [
        data(**settings).pool_fingerprint
        for settings in (
            {"split_seed": 0}, {"split_seed": 5}, {"subset": 40}, {"val_fraction": 0.3},
            {"classes": [0, 1]},
        )
    ]  # fmt: skip
    assert pools[0] == pools[1]
    assert len(set(pools)) == 4
    assert data(split_seed=0).fingerprint != data(split_seed=5).fingerprint
