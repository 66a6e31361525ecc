"""Images made worse, against loops by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from moe_lab.config.check import check_overrides
from moe_lab.data import Corruption, ImageData, SyntheticSource
from moe_lab.errors import ConfigError
from moe_lab.training.build import build_data

IMAGES = torch.randint(0, 256, (3, 2, 9, 7), generator=torch.Generator().manual_seed(0))
IMAGES = IMAGES.to(torch.uint8)


def test_blur_is_a_gaussian_mean_with_repeated_edges() -> None:
    found = Corruption("blur", 3).corrupted(IMAGES)
    size, radius = 0.7, 3  # 4 * 0.7 = 2.8, to the next whole number
    for image, channel, row, column in ((0, 0, 0, 0), (1, 1, 4, 3), (2, 0, 8, 6)):
        total = weight = 0.0
        for i in range(-radius, radius + 1):
            for j in range(-radius, radius + 1):
                share = math.exp(-(i * i + j * j) / (2 * size * size))
                y, x = min(8, max(0, row + i)), min(6, max(0, column + j))
                total += share * float(IMAGES[image, channel, y, x])
                weight += share
        assert abs(float(found[image, channel, row, column]) - total / weight) <= 0.51


def test_contrast_draws_pixels_to_the_mean_of_their_channel() -> None:
    found = Corruption("contrast", 5).corrupted(IMAGES)
    pixels = IMAGES.numpy().astype(float)
    for image in range(3):
        for channel in range(2):
            plane = pixels[image, channel]
            expected = plane.mean() + 0.15 * (plane - plane.mean())
            assert np.abs(found[image, channel].numpy() - expected).max() <= 0.51


def test_noise_has_the_strength_of_imagenet_c() -> None:
    grey = torch.full((50, 1, 40, 40), 128, dtype=torch.uint8)
    for strength, size in ((1, 0.08), (2, 0.12)):
        off = (Corruption("noise", strength).corrupted(grey).double() - 128) / 255
        assert float(off.std()) == pytest.approx(size, rel=0.02)  # 80,000 draws
        assert abs(float(off.mean())) < 0.002


def test_occlusion_blackens_one_square() -> None:
    white = torch.full((40, 1, 28, 28), 255, dtype=torch.uint8)
    found = Corruption("occlusion", 4).corrupted(white)
    assert ((found == 0).sum((1, 2, 3)) == 14 * 14).all()  # half of each side
    rows = (found == 0).any(3).squeeze(1)
    assert (rows.sum(1) == 14).all()
    assert len({tuple(row.tolist()) for row in rows}) > 5  # not always in the same place


def data(**settings: object) -> ImageData:
    source = SyntheticSource(60, 30, (1, 8, 8), 3)
    return ImageData(source, **settings)  # type: ignore[arg-type]


def test_only_the_images_that_are_meant_are_corrupted() -> None:
    clean = data().prepare()
    test_only = data(corruption=Corruption("contrast", 5)).prepare()
    both = data(corruption=Corruption("contrast", 5, "both")).prepare()
    for name, (images, labels) in clean.parts.items():
        assert torch.equal(test_only.parts[name][0], images) == (name != "test")
        assert not torch.equal(both.parts[name][0], images)
        assert torch.equal(both.parts[name][1], labels)
    assert torch.equal(both.parts["test"][0], test_only.parts["test"][0])
    assert len({p.fingerprint for p in (clean, test_only, both)}) == 3
    assert "the test images are corrupted: contrast, strength 5 of 5" in test_only.notes


def test_draws_are_the_same_every_time_and_differ_by_seed() -> None:
    first, again, other = (Corruption("noise", 1, seed=s).corrupted(IMAGES) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_half_a_corruption_is_refused() -> None:
    for word in (
        "dataset.corrupt=blur",
        "dataset.corrupt_strength=2",
        "dataset.corrupt_split=both",
    ):
        config = check_overrides("train", ["dataset=synthetic", word], multirun=False)
        with pytest.raises(ConfigError, match="both a kind and a strength"):
            build_data(config)


@pytest.mark.parametrize("arguments", [("fog", 1), ("blur", 0), ("blur", 6), ("blur", 1, "train")])
def test_unknown_settings_are_refused(arguments: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Corruption(*arguments)
