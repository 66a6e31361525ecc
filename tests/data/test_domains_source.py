"""One task in several domains."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from moe_lab.data import DomainSource, ImageData, ImageSets, Source, SyntheticSource
from moe_lab.data.sources import check_sets, fingerprint
from moe_lab.data.views import VIEWS, pixel_order
from moe_lab.errors import DataError
from tests.data.test_image_data import Ready

SIDE = 5


class Numbered(Source):
    """Every pixel of every image has a number of its own within the image."""

    def __init__(self, num_classes: int = 3, start: int = 0) -> None:
        self.num_classes, self.start = num_classes, start

    def load(self) -> ImageSets:
        labels = torch.arange(60) % self.num_classes
        ramp = torch.arange(SIDE * SIDE, dtype=torch.uint8).view(1, 1, SIDE, SIDE)
        images = (ramp + self.start).repeat(60, 1, 1, 1)
        names = tuple("abcdefgh"[: self.num_classes])
        return ImageSets(images, labels, images[:30], labels[:30], names, "n", "numbered")


def domains(**settings: object) -> ImageSets:
    sets = DomainSource({"n": Numbered()}, "d", **settings).load()  # type: ignore[arg-type]
    check_sets(sets)
    return sets


def looks_of(sets: ImageSets, part: str) -> dict[int, Tensor]:
    """The one image that a domain of `Numbered` shows."""
    images, _, domain = sets.parts()[part]
    found = {}
    for index in domain.unique().tolist():
        shown = images[domain == index]
        assert (shown == shown[0]).all()
        found[index] = shown[0]
    return found


@pytest.mark.parametrize(("view", "count"), [("permutations", 6), ("turns", 8), ("looks", 3)])
def test_every_view_keeps_the_pixels_and_is_the_same_in_training_and_test(
    view: str, count: int
) -> None:
    sets = domains(view=view, num_views=count)
    train, test = looks_of(sets, "train"), looks_of(sets, "test")
    assert set(train) == set(range(count))
    everything = list(range(SIDE * SIDE))
    for index, image in test.items():
        assert torch.equal(image, train[index])
        inverted = (view, index) in {("looks", 1), *(("turns", i) for i in range(4, 8))}
        seen = 255 - image.int() if inverted else image.int()
        assert sorted(seen.flatten().tolist()) == everything  # a bijection
    assert train[0].flatten().tolist() == everything  # the first view leaves them as they are
    assert len({tuple(image.flatten().tolist()) for image in train.values()}) == count


def test_turns_are_quarter_turns_to_the_left() -> None:
    image = looks_of(domains(view="turns", num_views=8), "train")
    corner = [int(image[index][0, 0, 0]) for index in range(4)]
    # What comes to the upper left corner: itself, upper right, lower right, lower left.
    assert corner == [0, SIDE - 1, SIDE * SIDE - 1, SIDE * (SIDE - 1)]
    assert int(image[6][0, 0, 0]) == 255 - (SIDE * SIDE - 1)


def test_a_pixel_order_is_the_same_for_every_channel_and_seed() -> None:
    (_, moved) = VIEWS["permutations"](2, 2, 3, 7)
    images = torch.arange(12, dtype=torch.uint8).view(1, 2, 2, 3)
    order = pixel_order(1, 6, 7)
    assert moved(images)[0, 0].flatten().tolist() == order.tolist()
    assert moved(images)[0, 1].flatten().tolist() == (order + 6).tolist()
    assert not torch.equal(order, pixel_order(1, 6, 8))


def test_shared_labels_are_those_of_the_source() -> None:
    sets = domains()
    assert torch.equal(sets.train_labels, Numbered().load().train_labels)


def test_permuted_labels_are_a_bijection_in_every_domain_and_equal_in_test() -> None:
    sets = domains(labels="permuted", num_views=8, every_view=True, seed=1)
    maps = []
    for part, own in (("train", Numbered().load().train_labels), ("test", torch.arange(30) % 3)):
        _, labels, domain = sets.parts()[part]
        classes = own.repeat(8)
        table = torch.zeros(8, 3, 3, dtype=torch.long)
        for index, kind, label in zip(domain, classes, labels, strict=True):
            table[index, kind, label] = 1
        assert (table.sum(1) == 1).all()
        assert (table.sum(2) == 1).all()
        maps.append(table)
    assert torch.equal(*maps)
    assert len({tuple(table.flatten().tolist()) for table in maps[0]}) > 1


def test_every_view_shows_each_image_in_every_domain() -> None:
    sets = domains(every_view=True, num_views=4)
    assert torch.bincount(sets.parts()["train"][2]).tolist() == [60] * 4
    assert torch.bincount(domains(num_views=4).parts()["train"][2]).sum() == 60


def test_a_source_is_a_domain_of_its_own_with_the_same_labels() -> None:
    sources = {"low": Numbered(), "high": Numbered(start=100)}
    sets = DomainSource(sources, "two", view="looks", num_views=1).load()
    images, labels, domain = sets.parts()["train"]
    assert torch.equal(domain, (images.flatten(1).amax(1) >= 100).long())
    assert labels[:60].tolist() == labels[60:].tolist() == [0, 1, 2] * 20
    assert sets.class_names == ("0", "1", "2")


def test_the_bytes_follow_from_the_seed() -> None:
    first, again, other = (fingerprint(domains(labels="permuted", seed=seed)) for seed in (0, 0, 1))
    assert first == again != other


def test_domains_stay_with_their_images_through_split_subset_and_classes() -> None:
    source = DomainSource({"n": Numbered()}, "d", num_views=4, labels="shared")
    whole = source.load()
    assert whole.train_domains is not None
    shows = {tuple(i.flatten().tolist()): int(d)
             for i, d in zip(whole.train_images, whole.train_domains, strict=True)}  # fmt: skip
    data = ImageData(source, batch_size=7, subset=40, classes=["0", "2"], val_fraction=0.25)
    assert data.num_domains == 4
    for split in ("train", "val", "test"):
        raw, _, domain = data.prepare().parts[split]
        assert [shows[tuple(image.flatten().tolist())] for image in raw] == domain.tolist()
    batches = list(data.loader("train"))
    assert all(len(batch) == 3 for batch in batches)
    mean, std = data.mean.view(1, 1, 1), data.std.view(1, 1, 1)
    for images, _, domain in batches:
        pixels = ((images * std + mean) * 255).round().to(torch.uint8)
        assert [shows[tuple(image.flatten().tolist())] for image in pixels] == domain.tolist()


def test_sources_with_other_numbers_of_classes_are_refused() -> None:
    source = DomainSource({"x": Numbered(3), "y": Numbered(4)}, "both")
    with pytest.raises(DataError, match="x has 3, y has 4"):
        source.load()


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"view": "mirror"}, "view must be one of permutations, turns, looks"),
        ({"labels": "own"}, "labels must be shared or permuted"),
        ({"num_views": 0}, "num_views must be >= 1"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        DomainSource({"n": Numbered()}, "d", **setting)  # type: ignore[arg-type]


def test_more_views_than_there_are_is_refused() -> None:
    for view, problem in (("turns", "has 8 views"), ("looks", "has 3 views")):
        with pytest.raises(ValueError, match=problem):
            domains(view=view, num_views=9)
    flat = Ready(SyntheticSource(20, 10, (1, 4, 8), 2).load())
    with pytest.raises(ValueError, match="square images, got 4x8"):
        DomainSource({"n": flat}, "d", view="turns", num_views=2).load()
