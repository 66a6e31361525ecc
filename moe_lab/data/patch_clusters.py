"""Patches with a feature, a cluster's centre, a misleading feature and noise: setting 1 of Chen et
al. 2022, arXiv 2208.02813.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from moe_lab.data.clusters import as_pixels
from moe_lab.data.sources import ImageSets, Source

NUM_PATCHES = 4
SCALE = 10.0  # all patches are multiplied by it
LARGEST = 16.0  # coordinate that the largest pixel stands for


class PatchClustersSource(Source):
    """Four patches of `patch_size` numbers in random order, for a label y = +-1 and a cluster k:

        y alpha v_k       alpha ~ U(0.5, 2)   the feature of the cluster, signed by the label
        beta c_k          beta ~ U(1, 2)      the centre of the cluster
        s gamma v_k'      gamma ~ U(0.5, 3)   another cluster's feature, k' != k, s = +-1 at random
        noise             N(0, 1 / patch_size) in each number

    All v and c together are orthonormal. Label, cluster, s and k' are drawn uniformly. The paper
    proves that no single expert of its kind, however wide, is right on more than 7 of 8 images. The
    domain is the cluster. Images are [B, 1, 4, patch_size], a pixel is
    round(127.5 + 127.5 * 10 x / LARGEST), clamped.
    """

    def __init__(
        self,
        num_clusters: int = 4,
        patch_size: int = 50,
        num_train: int = 16_000,
        num_test: int = 16_000,
        seed: int = 0,
    ) -> None:
        if num_clusters < 2:
            raise ValueError(f"num_clusters must be >= 2, got {num_clusters}")
        if patch_size < 2 * num_clusters:
            raise ValueError(
                f"patch_size must be >= {2 * num_clusters}, since two directions for each of "
                f"{num_clusters} clusters are orthogonal, got {patch_size}"
            )
        if min(num_train, num_test) < 1:
            raise ValueError(f"num_train and num_test must be >= 1, got {num_train} and {num_test}")
        if seed < 0:
            raise ValueError(f"seed must be >= 0, got {seed}")
        self.num_clusters, self.patch_size, self.seed = num_clusters, patch_size, seed
        self.num_train, self.num_test = num_train, num_test

    def load(self) -> ImageSets:
        generator = torch.Generator().manual_seed(self.seed)
        features, centres = orthonormal(2 * self.num_clusters, self.patch_size, generator).chunk(2)
        total = self.num_train + self.num_test
        labels = torch.randint(2, (total,), generator=generator)
        cluster = torch.randint(self.num_clusters, (total,), generator=generator)
        patches = draw_patches(features, centres, labels, cluster, generator)
        images = as_pixels(SCALE * patches, LARGEST).unsqueeze(1)
        train, test = slice(self.num_train), slice(self.num_train, None)
        return ImageSets(
            images[train],
            labels[train],
            images[test],
            labels[test],
            ("negative", "positive"),
            "patch_clusters",
            f"setting 1 of Chen et al. 2022, {self.num_clusters} clusters, seed {self.seed}",
            train_domains=cluster[train],
            test_domains=cluster[test],
        )


def draw_patches(
    features: Tensor, centres: Tensor, labels: Tensor, cluster: Tensor, generator: Generator
) -> Tensor:
    """The shuffled patches of each image: [K, d], [K, d], [B] 0 or 1, [B] -> [B, 4, d]."""
    (num_clusters, size), total = features.shape, len(labels)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(total, 1, generator=generator)

    alpha, beta, gamma = uniform(0.5, 2), uniform(1, 2), uniform(0.5, 3)
    step = torch.randint(1, num_clusters, (total,), generator=generator)
    other = (cluster + step) % num_clusters  # uniform over all clusters but the own
    sign = 2 * torch.randint(2, (total, 1), generator=generator) - 1
    noise = torch.randn(total, size, generator=generator) / math.sqrt(size)
    own = (2 * labels - 1).unsqueeze(1) * alpha * features[cluster]
    patches = [own, beta * centres[cluster], sign * gamma * features[other], noise]
    order = torch.rand(total, NUM_PATCHES, generator=generator).argsort(-1)
    return torch.stack(patches, 1).gather(1, order.unsqueeze(-1).expand(-1, -1, size))


def orthonormal(count: int, size: int, generator: Generator) -> Tensor:
    """Random directions of length 1, all at right angles: [count, size]."""
    # The orthogonal part of a Gaussian matrix is what Gram and Schmidt make of its columns.
    found: Tensor = torch.linalg.qr(torch.randn(size, count, generator=generator)).Q.T
    return found.contiguous()
