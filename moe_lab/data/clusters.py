"""Points around centres, in every cluster with a linear rule of its own."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from moe_lab.data.sources import ImageSets, Source

LARGEST = 8.0  # coordinate that the largest pixel stands for; the smallest is for its negative
SPREAD = 0.6  # of the centres' coordinates at visibility 1, in standard deviations of a cluster


class ClustersSource(Source):
    """Point x = c_k + n of cluster k, n ~ N(0, 1) in each of D coordinates, with the label
    argmax_c w_kc . n: what is right in one cluster says nothing about another.

    Centres c_k are drawn from N(0, (SPREAD * visibility)^2): at 0 all clusters lie on each other
    and nothing tells which rule applies, at 1 a linear gate can hardly miss. The rules w are drawn
    from N(0, 1). Clusters are of equal size; the domain of a point is its cluster. Images are
    [B, 1, 1, D], a pixel is round(127.5 + 127.5 * x / LARGEST), clamped.
    """

    def __init__(
        self,
        num_clusters: int = 16,
        num_features: int = 64,
        num_classes: int = 2,
        num_train: int = 50_000,
        num_test: int = 10_000,
        visibility: float = 1.0,
        seed: int = 0,
    ) -> None:
        for name, value, low in (
            ("num_clusters", num_clusters, 1),
            ("num_features", num_features, 1),
            ("num_classes", num_classes, 2),
            ("num_train", num_train, num_clusters),
            ("num_test", num_test, num_clusters),
            ("seed", seed, 0),
        ):
            if value < low:
                raise ValueError(f"{name} must be >= {low}, got {value}")
        if not 0 <= visibility <= 2:
            raise ValueError(f"visibility must be in 0..2, got {visibility}")
        self.num_clusters, self.num_features, self.num_classes = (
            num_clusters,
            num_features,
            num_classes,
        )
        self.num_train, self.num_test = num_train, num_test
        self.visibility, self.seed = visibility, seed

    def load(self) -> ImageSets:
        generator = torch.Generator().manual_seed(self.seed)
        centres, rules = self.drawn(generator)
        total = self.num_train + self.num_test
        # In turn, and not drawn: every cluster has as many points.
        cluster = torch.arange(total) % self.num_clusters
        offset = torch.randn(total, self.num_features, generator=generator)
        labels = apply_rules(rules, cluster, offset)
        images = as_pixels(centres[cluster] + offset, LARGEST).view(total, 1, 1, -1)
        train, test = slice(self.num_train), slice(self.num_train, None)
        return ImageSets(
            images[train],
            labels[train],
            images[test],
            labels[test],
            tuple(str(label) for label in range(self.num_classes)),
            "clusters",
            f"{self.num_clusters} clusters in {self.num_features} dimensions, visibility "
            f"{self.visibility:g}, a rule each, seed {self.seed}",
            train_domains=cluster[train],
            test_domains=cluster[test],
        )

    def drawn(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """Centres [clusters, D] and rules [clusters, C, D]."""
        shape = (self.num_clusters, self.num_features)
        centres = SPREAD * self.visibility * torch.randn(shape, generator=generator)
        rules = torch.randn(shape[0], self.num_classes, shape[1], generator=generator)
        return centres, rules


def apply_rules(rules: Tensor, cluster: Tensor, offset: Tensor) -> Tensor:
    """The class that the rule of its cluster gives to each point: [clusters, C, D], [B], [B, D] ->
    [B].
    """
    labels = torch.empty_like(cluster)
    for index, rule in enumerate(rules):  # a gather of [B, C, D] would take gigabytes
        mine = cluster == index
        labels[mine] = (offset[mine] @ rule.T).argmax(-1)
    return labels


def as_pixels(values: Tensor, largest: float) -> Tensor:
    """Numbers from -largest to largest as bytes; what is larger is clamped."""
    return (127.5 + 127.5 * values / largest).round().clamp(0, 255).to(torch.uint8)
