"""Points with a rule for each cluster."""

from __future__ import annotations

import pytest
import torch

from moe_lab.data import ClustersSource, ImageSets
from moe_lab.data.clusters import LARGEST, SPREAD, apply_rules, as_pixels
from moe_lab.data.sources import check_sets, fingerprint


def small(visibility: float = 1.0, seed: int = 0, num_classes: int = 2) -> ClustersSource:
    return ClustersSource(4, 16, num_classes, 2000, 400, visibility, seed)


def coordinates(sets: ImageSets) -> torch.Tensor:
    return (sets.train_images.flatten(1).double() - 127.5) / 127.5 * LARGEST


def test_labels_are_those_of_the_rule_of_the_cluster() -> None:
    source = small(num_classes=3)
    centres, rules = source.drawn(torch.Generator().manual_seed(0))
    sets = source.load()
    check_sets(sets)
    points, domains = coordinates(sets), sets.train_domains
    assert domains is not None
    agreed = 0
    for point, cluster, label in zip(points[:300], domains[:300], sets.train_labels, strict=False):
        offset = point - centres[cluster].double()
        scores = [float(offset @ rule) for rule in rules[cluster].double()]
        agreed += scores.index(max(scores)) == int(label)
    # A pixel is a step of 16/255, so only points next to the border of two classes may differ.
    assert agreed >= 295


def test_every_cluster_and_class_has_its_share() -> None:
    sets = small().load()
    assert sets.num_domains == 4
    assert torch.bincount(sets.train_domains).tolist() == [500] * 4  # type: ignore[arg-type]
    assert abs(float(sets.train_labels.float().mean()) - 0.5) < 0.04  # 3.5 standard deviations


def test_visibility_is_the_distance_of_the_centres() -> None:
    for visibility in (0.0, 1.0, 2.0):
        sets = small(visibility).load()
        points, domains = coordinates(sets), sets.train_domains
        means = torch.stack([points[domains == cluster].mean(0) for cluster in range(4)])
        # Two draws of 16 coordinates from N(0, s^2) are sqrt(32) s apart; means of 500 points
        # add at most sqrt(32 / 500).
        apart = float(torch.pdist(means).mean())
        assert apart == pytest.approx(visibility * SPREAD * 32**0.5, abs=0.4 + 0.15 * visibility)


def test_a_linear_gate_sees_the_clusters_that_are_visible_and_no_others() -> None:
    for visibility, least, most in ((2.0, 0.97, 1.0), (0.0, 0.0, 0.33)):
        sets = small(visibility).load()
        points, domains = coordinates(sets), sets.train_domains
        assert domains is not None
        centres = torch.stack([points[:1000][domains[:1000] == k].mean(0) for k in range(4)])
        found = torch.cdist(points[1000:], centres).argmin(-1)
        assert least <= float((found == domains[1000:]).double().mean()) <= most


def test_the_bytes_follow_from_the_seed() -> None:
    assert fingerprint(small(seed=3).load()) == fingerprint(small(seed=3).load())
    assert fingerprint(small(seed=3).load()) != fingerprint(small(seed=4).load())


def test_rules_are_applied_to_the_points_of_their_own_cluster() -> None:
    rules = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
    cluster = torch.tensor([0, 1, 1])
    offset = torch.tensor([[2.0, 1.0], [2.0, 1.0], [1.0, 2.0]])
    assert apply_rules(rules, cluster, offset).tolist() == [0, 1, 0]


def test_pixels_cover_the_range_and_clamp_what_is_beyond() -> None:
    values = torch.tensor([-9.0, -8.0, 0.02, 8.0, 100.0])
    assert as_pixels(values, 8.0).tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"visibility": -0.1}, "visibility must be in 0..2"),
        ({"num_classes": 1}, "num_classes must be >= 2"),
        ({"num_clusters": 30, "num_test": 20}, "num_test must be >= 30"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ClustersSource(**setting)  # type: ignore[arg-type]
