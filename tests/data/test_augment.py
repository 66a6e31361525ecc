from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from moe_lab.data.augment import Augment, cutout, random_flip, random_shift


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def random_images(num_images: int, *shape: int) -> Tensor:
    return torch.randint(1, 256, (num_images, *shape), dtype=torch.uint8, generator=seeded(9))


def moved(image: Tensor, down: int, right: int) -> Tensor:
    """[channels, height, width] rolled, with zeros where it wrapped around."""
    result = image.roll((down, right), (1, 2))
    if down:
        result[:, slice(0, down) if down > 0 else slice(down, None)] = 0
    if right:
        result[:, :, slice(0, right) if right > 0 else slice(right, None)] = 0
    return result


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 4, 7)])
def test_shift_is_a_roll_with_zeros_for_every_offset(shape: tuple[int, int, int]):
    images = random_images(300, *shape)
    shifted = random_shift(images, 2, seeded())
    offsets = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    counts = dict.fromkeys(offsets, 0)
    for image, result in zip(images, shifted, strict=True):
        fits = [offset for offset in offsets if torch.equal(result, moved(image, *offset))]
        assert len(fits) == 1
        counts[fits[0]] += 1
    assert min(counts.values()) >= 3  # all 25 offsets occur, about 12 times each


def test_shift_can_push_an_image_out_of_sight():
    shifted = random_shift(random_images(200, 1, 2, 2), 3, seeded())
    assert (shifted.flatten(1).sum(1) == 0).sum() > 20


def test_flip_mirrors_about_half_of_the_images_exactly():
    images = random_images(400, 3, 4, 5)
    flipped = random_flip(images, seeded())
    mirrored = (images.flip(-1) == flipped).flatten(1).all(1)
    same = (images == flipped).flatten(1).all(1)
    assert torch.all(mirrored ^ same)
    assert 160 < int(mirrored.sum()) < 240


def test_cutout_blackens_exactly_one_square_in_every_channel():
    images = random_images(200, 3, 6, 8)
    cut = cutout(images, 3, seeded())
    black = cut == 0
    assert torch.all(black.sum((2, 3)) == 9)
    assert torch.equal(black[:, 0], black[:, 2])
    assert torch.all(black[:, 0].any(2).sum(1) == 3)  # 3 rows and 3 columns: it is a square
    assert torch.all(black[:, 0].any(1).sum(1) == 3)
    assert torch.equal(cut[~black], images[~black])
    assert torch.all(black.any(0)[0])  # every pixel is covered in some image


def test_same_generator_state_gives_the_same_augmentation():
    images, augment = random_images(32, 1, 8, 8), Augment(shift=2, flip=True, cutout=3)
    assert torch.equal(augment(images, seeded(1)), augment(images, seeded(1)))
    assert not torch.equal(augment(images, seeded(1)), augment(images, seeded(2)))


def test_augmentation_switched_off_returns_the_images_themselves():
    images = random_images(4, 1, 8, 8)
    assert Augment()(images, seeded()) is images
    assert Augment().is_identity
    assert not Augment(shift=1).is_identity


def test_augmentation_leaves_its_input_alone():
    images = random_images(16, 1, 8, 8)
    before = images.clone()
    Augment(shift=2, flip=True, cutout=3)(images, seeded())
    assert torch.equal(images, before)


@pytest.mark.parametrize("bad", [{"shift": -1}, {"shift": 1.5}, {"cutout": -2}, {"flip": "yes"}])
def test_bad_values_are_refused_by_name(bad: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Augment(**bad)


def test_a_square_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match="cutout must be <= 4"):
        cutout(random_images(2, 1, 4, 6), 5, seeded())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_and_cpu_augment_alike():
    images, augment = random_images(32, 3, 8, 8), Augment(shift=2, flip=True, cutout=3)
    assert torch.equal(augment(images.cuda(), seeded()).cpu(), augment(images, seeded()))
