"""Random crop with reflection, alternating flip, mixup and cutmix: draws, labels and order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot, pad
from torchvision.transforms import v2

from moe_lab.data.augment import Augment, random_shift, reflected
from moe_lab.data.mixup import Mix, cutmix, draw_share, partners
from moe_lab.data.resident import ResidentLoader
from moe_lab.errors import ConfigError


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def random_images(num_images: int, *shape: int) -> Tensor:
    return torch.randint(1, 256, (num_images, *shape), dtype=torch.uint8, generator=seeded(9))


def loader(num_images: int, augment: Augment, **options: Any) -> ResidentLoader:
    """Every image is one value, its own number; mean 0 and std 1/255 leave it as it is."""
    labels = torch.arange(num_images)
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 6, 6)
    statistics = torch.tensor([0.0]), torch.tensor([1 / 255])
    options = {"batch_size": 8, "shuffle": True, "seed": 3, "augment": augment, **options}
    return ResidentLoader(images, labels, options.pop("batch_size"), *statistics, **options)


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 4, 7)])
def test_reflection_continues_as_torch_pads(shape: tuple[int, int, int]) -> None:
    images = random_images(3, *shape)
    expected = pad(images.float(), (3, 3, 3, 3), mode="reflect").to(torch.uint8)
    assert torch.equal(reflected(images, 3)[:, :, :-1], expected)


def test_a_shift_with_reflection_is_a_crop_of_the_padded_image() -> None:
    images = random_images(200, 3, 6, 5)
    padded = reflected(images, 2)
    shifted = random_shift(images, 2, seeded(), "reflect")
    corners = set()
    for image, result in zip(padded, shifted, strict=True):
        crops = {(y, x): image[:, y : y + 6, x : x + 5] for y in range(5) for x in range(5)}
        (corner,) = [place for place, crop in crops.items() if torch.equal(crop, result)]
        corners.add(corner)
    assert len(corners) == 25


def test_padding_changes_what_comes_in_and_not_where_an_image_goes() -> None:
    images = random_images(50, 1, 8, 8)
    zeros, mirror = (random_shift(images, 2, seeded(4), how) for how in ("zeros", "reflect"))
    assert torch.equal(torch.where(zeros > 0, mirror, 0), zeros)
    assert (mirror > 0).all()


def test_an_alternating_flip_shows_every_image_in_both_orientations() -> None:
    images = random_images(64, 1, 2, 4)
    options: dict[str, Any] = {"shuffle": True, "seed": 1, "augment": Augment(flip="alternating")}
    statistics = torch.tensor([0.0]), torch.tensor([1 / 255])
    flipping = ResidentLoader(images, torch.arange(64), 16, *statistics, **options)

    def mirrored(epoch: int) -> Tensor:
        flipping.sampler.set_epoch(epoch)
        found = torch.zeros(64, dtype=torch.bool)
        for pixels, labels in flipping:
            found[labels] = (pixels != images[labels]).flatten(1).any(1)
            expected = torch.where(found[labels].view(-1, 1, 1, 1), images.flip(-1)[labels],
                                   images[labels])  # fmt: skip
            torch.testing.assert_close(pixels, expected.float())
        return found

    first = mirrored(0)
    assert 20 < int(first.sum()) < 44
    assert torch.equal(mirrored(1), ~first)
    assert torch.equal(mirrored(2), first)


def test_mixup_and_cutmix_are_those_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = torch.rand(6, 3, 8, 10, generator=seeded()), torch.arange(6)
    share = draw_share(0.7, seeded(5))
    theirs = v2.MixUp(alpha=0.7, num_classes=6)
    monkeypatch.setattr(theirs._dist, "sample", lambda size: torch.tensor([share]))
    expected, soft = theirs(images, labels)
    generator = seeded(5)
    monkeypatch.setattr("moe_lab.data.mixup.draw_share", lambda alpha, generator: share)
    mixed, own = Mix(mixup=0.7)(images, generator)
    torch.testing.assert_close(mixed, expected)
    torch.testing.assert_close(two_labels(labels, own), soft)

    cutting = v2.CutMix(alpha=1.0, num_classes=6)
    monkeypatch.setattr(cutting._dist, "sample", lambda size: torch.tensor([share]))
    for place in range(20):
        generator = seeded(place)
        y, x = (int(torch.randint(size, (), generator=generator)) for size in (8, 10))
        draws = iter((x, y))
        monkeypatch.setattr(
            "torchvision.transforms.v2._augment.torch.randint",
            lambda *a, _draws=draws, **k: torch.tensor([next(_draws)]),
        )
        expected, soft = cutting(images, labels)
        monkeypatch.undo()
        monkeypatch.setattr(cutting._dist, "sample", lambda size: torch.tensor([share]))
        cut, left = cutmix(images, share, seeded(place))
        torch.testing.assert_close(cut, expected)
        torch.testing.assert_close(two_labels(labels, left), soft)


def two_labels(labels: Tensor, share: float) -> Tensor:
    return share * one_hot(labels) + (1 - share) * one_hot(partners(labels))


def test_the_share_of_cutmix_is_the_area_that_is_left() -> None:
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 8, 8)
    for seed in range(50):
        mixed, share = Mix(cutmix=1.0)(images, seeded(seed))
        own = (mixed == images).flatten(1).float().mean(1)
        assert own.tolist() == [share] * 4


def test_shares_are_draws_from_beta() -> None:
    shares = torch.tensor([draw_share(0.4, seeded(seed)) for seed in range(2000)])
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1))
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * 1.8), abs=0.01)


def test_both_together_take_turns() -> None:
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 8, 8)
    boxes = 0
    for seed in range(200):
        mixed, _ = Mix(mixup=1.0, cutmix=1.0)(images, seeded(seed))
        boxes += bool((mixed == mixed.round()).all())
    assert 70 < boxes < 130


def test_a_mixed_batch_brings_the_labels_of_its_partners() -> None:
    for images, labels, partner, share in loader(24, Augment(mixup=1.0)):
        assert torch.equal(partner, labels.roll(1))
        expected = share * labels + (1 - share) * partner
        torch.testing.assert_close(images[:, 0, 0, 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("augment", [Augment(mixup=0.5, cutmix=1.0, shift=1), Augment(cutmix=1.0)])
def test_ranks_together_see_the_mixed_batches_of_one_process(augment: Augment) -> None:
    whole = list(loader(49, augment, batch_size=10))
    for rank in range(2):
        parts = list(loader(49, augment, batch_size=10, rank=rank, world_size=2))
        for (images, labels, partner, share), part in zip(whole, parts, strict=True):
            assert torch.equal(part[0], images[rank::2])
            assert torch.equal(part[1], labels[rank::2])
            assert torch.equal(part[2], partner[rank::2])
            assert part[3] == share


def test_mixing_depends_on_seed_epoch_and_step_and_changes_no_other_draw() -> None:
    mixing = loader(16, Augment(mixup=1.0, shift=2))

    def shares(epoch: int) -> list[float]:
        mixing.sampler.set_epoch(epoch)
        return [share for *_, share in mixing]

    assert shares(0) == shares(0)
    assert len({*shares(0), *shares(1)}) == 4
    plain = loader(16, Augment(shift=2))
    mixing.sampler.set_epoch(0)
    for (images, labels), (mixed, own, partner, share) in zip(plain, mixing, strict=True):
        assert torch.equal(labels, own)
        assert not torch.equal(labels, partner)
        torch.testing.assert_close(mixed, torch.lerp(images.roll(1, 0), images, share))


@pytest.mark.parametrize(
    "bad", [{"mixup": -0.1}, {"cutmix": True}, {"padding": "wrap"}, {"flip": "sometimes"}]
)
def test_bad_values_are_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Augment(**bad)


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (Augment(cutout=7), "cutout must be <= 6"),
        (Augment(shift=6, padding="reflect"), "shift must be < 6"),
    ],
)
def test_what_does_not_fit_the_images_is_refused_before_training(
    augment: Augment, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        loader(8, augment)
