"""Setting 1 of Chen et al. 2022."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from moe_lab.data import PatchClustersSource
from moe_lab.data.patch_clusters import LARGEST, draw_patches, orthonormal
from moe_lab.data.sources import check_sets, fingerprint

B, D, K = 4000, 50, 4


def drawn() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Features, centres, labels, clusters and patches [B, 4, d]."""
    generator = torch.Generator().manual_seed(0)
    features, centres = orthonormal(2 * K, D, generator).chunk(2)
    labels = torch.randint(2, (B,), generator=generator)
    cluster = torch.randint(K, (B,), generator=generator)
    patches = draw_patches(features, centres, labels, cluster, generator)
    return features, centres, labels, cluster, patches


def test_all_features_and_centres_are_at_right_angles_and_of_length_one() -> None:
    features, centres, *_ = drawn()
    directions = torch.cat([features, centres]).double()
    torch.testing.assert_close(directions @ directions.T, torch.eye(8).double(), atol=1e-6, rtol=0)


def test_every_image_has_one_patch_of_each_kind_and_the_label_is_the_sign_of_its_feature() -> None:
    features, centres, labels, cluster, patches = drawn()
    on_features, on_centres = patches @ features.T, patches @ centres.T  # [B, 4, K]
    length = patches.norm(dim=-1, keepdim=True)
    is_feature = (on_features.abs() / length > 0.999).sum((1, 2))
    assert is_feature.tolist() == [2] * B  # the own one and a misleading one
    assert ((on_centres / length > 0.999).sum((1, 2)) == 1).all()
    rows = torch.arange(B)
    own = on_features[rows, :, cluster]  # [B, 4]; noise has at most a fraction of this
    signed = own.gather(1, own.abs().argmax(1, keepdim=True)).squeeze(1)
    assert torch.equal(signed > 0, labels == 1)
    centre = on_centres.amax((1, 2))
    assert torch.equal(on_centres.amax(1).argmax(1), cluster)
    assert 1 <= float(centre.min()) < 1.05
    assert 1.95 < float(centre.max()) <= 2 + 1e-6


def test_sizes_are_those_of_the_paper() -> None:
    features, _, labels, cluster, patches = drawn()
    on_features = patches @ features.T
    rows = torch.arange(B)
    alpha = on_features[rows, :, cluster].abs().amax(1)
    assert 0.5 <= float(alpha.min()) < 0.55
    assert 1.95 < float(alpha.max()) <= 2 + 1e-6
    others = on_features.abs().amax(1)
    others[rows, cluster] = 0
    gamma = others.amax(1)
    assert float(gamma.min()) >= 0.5
    assert 2.9 < float(gamma.max()) <= 3 + 1e-6
    # The noise patch has squared length 1 on average: N(0, 1/d) in each of d numbers.
    total = patches.square().sum((1, 2)).mean()
    # E alpha^2 = 1.75, E beta^2 = 7/3, E gamma^2 = 43/12
    assert float(total) == pytest.approx(1.75 + 7 / 3 + 43 / 12 + 1, abs=0.12)
    assert float((labels == 1).float().mean()) == pytest.approx(0.5, abs=0.03)


def test_patches_are_in_random_order() -> None:
    features, _, _, cluster, patches = drawn()
    place = (patches @ features.T)[torch.arange(B), :, cluster].abs().argmax(1)
    share = torch.bincount(place, minlength=4) / B
    assert float((share - 0.25).abs().max()) < 4 * math.sqrt(0.25 * 0.75 / B)


def test_the_sum_of_all_features_is_right_on_65_of_100_images() -> None:
    # It reads y alpha + s gamma, which has the sign of y where s = y or gamma < alpha:
    # 1/2 + 1/2 P(gamma < alpha), and P = int_0.5^2 (a - 0.5) / 2.5 da / 1.5 = 0.3.
    features, _, labels, _, patches = drawn()
    answer = patches.sum(1) @ features.sum(0) > 0
    right = float((answer == (labels == 1)).float().mean())
    assert right == pytest.approx(0.65, abs=0.035)  # the noise adds a little


def test_the_images_are_ten_times_the_patches_in_bytes() -> None:
    sets = PatchClustersSource(num_train=500, num_test=100).load()
    check_sets(sets)
    assert sets.train_images.shape == (500, 1, 4, 50)
    assert sets.num_domains == 4
    assert sets.train_images.min() > 0
    assert sets.train_images.max() < 255
    values = (sets.train_images.float() - 127.5) / 127.5 * LARGEST
    total = float(values.square().sum((1, 2, 3)).mean())
    assert total == pytest.approx(100 * (1.75 + 7 / 3 + 43 / 12 + 1), rel=0.08)


def test_the_bytes_follow_from_the_seed() -> None:
    first, again, other = (
        fingerprint(PatchClustersSource(num_train=50, num_test=20, seed=seed).load())
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_too_few_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="patch_size must be >= 8"):
        PatchClustersSource(patch_size=7)
