from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from moe_lab.data import MNIST5kSource, SyntheticSource, fingerprint


def test_mnist_5k_is_4000_and_1000_with_100_test_images_a_class():
    sets = MNIST5kSource().load()
    assert sets.train_images.shape == (4000, 1, 28, 28)
    assert torch.bincount(sets.train_labels).tolist() == [400] * 10
    assert torch.bincount(sets.test_labels).tolist() == [100] * 10
    assert sets.train_images.dtype == torch.uint8
    assert int(sets.train_images.max()) == 255
    assert sets.train_images.double().mean().item() / 255 == pytest.approx(0.131, abs=0.002)
    torch.manual_seed(5)
    assert fingerprint(MNIST5kSource().load()) == fingerprint(sets)


def test_synthetic_images_depend_on_the_seed_alone():
    first, again = (SyntheticSource(60, 20, prototype_seed=1).load() for _ in range(2))
    other = SyntheticSource(60, 20, prototype_seed=2).load()
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)
    assert first.train_images.shape == (60, 1, 28, 28)
    assert torch.bincount(first.test_labels).tolist() == [2] * 10


def test_synthetic_images_defeat_a_linear_model_but_not_a_small_network():
    sets = SyntheticSource(400, 200, (3, 8, 8), num_classes=4).load()
    parts = (sets.train_images, sets.test_images)
    train, test = ((part / 255.0 - 0.5).flatten(1) * 4 for part in parts)
    accuracy = []
    torch.manual_seed(0)
    linear = torch.nn.Linear(192, 4)
    network = torch.nn.Sequential(torch.nn.Linear(192, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4))
    for model in (linear, network):
        optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
        for step in range(60):
            rows = torch.arange(64) + 64 * step
            loss = cross_entropy(model(train[rows % 400]), sets.train_labels[rows % 400])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        hits = model(test).argmax(1) == sets.test_labels
        accuracy.append(hits.float().mean().item())
    assert accuracy[0] < 0.7
    assert accuracy[1] > 0.95


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"shape": (28, 28)}, "shape"),
        ({"num_classes": 0}, "num_classes"),
        ({"num_test": 3}, "num_test"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_bad_synthetic_arguments_are_refused_by_name(options: dict[str, Any], name: str):
    with pytest.raises(ValueError, match=name):
        SyntheticSource(**options)
