"""A task of memory."""

from __future__ import annotations

import torch

from moe_lab.data import ImageData, SyntheticSource


def data(split_seed: int = 0, labels: str | None = "random", **more: object) -> ImageData:
    source = SyntheticSource(3000, 100, (1, 3, 3), 5)
    return ImageData(source, split_seed=split_seed, labels=labels, **more)  # type: ignore[arg-type]


def test_what_is_tested_is_what_was_trained_on_and_nothing_is_held_out() -> None:
    module = data()
    assert module.sizes == {"train": 3000, "val": 3000, "test": 3000}
    train, test = module.prepare().parts["train"], module.prepare().parts["test"]
    assert torch.equal(train[0], test[0])
    assert torch.equal(train[1], test[1])
    assert any("share of labels that were memorised" in note for note in module.notes)


def test_labels_are_independent_of_the_images_and_uniform() -> None:
    true = data(labels=None, val_fraction=0).prepare().parts["train"][1]
    drawn = data().prepare().parts["train"][1]
    table = torch.zeros(5, 5)
    for own, label in zip(true, drawn, strict=True):
        table[own, label] += 1
    # Chi-square of a 5 x 5 table with known uniform columns: 20 degrees of freedom, of which 45.3
    # is exceeded once in a thousand.
    statistic = float(((table - 120).square() / 120).sum())
    assert statistic < 45.3


def test_labels_follow_from_the_seed_alone() -> None:
    first, again, other = (data(seed).prepare() for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert torch.equal(first.parts["train"][1], again.parts["train"][1])
    assert torch.equal(first.parts["train"][0], other.parts["train"][0])
    assert not torch.equal(first.parts["train"][1], other.parts["train"][1])


def test_a_subset_is_memorised_alone() -> None:
    assert data(subset=200).sizes == {"train": 200, "val": 200, "test": 200}
