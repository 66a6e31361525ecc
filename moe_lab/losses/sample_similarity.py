"""The sample-similarity loss (Krishnamurthy, Watkins & Gärtner 2023, arXiv 2302.14703)."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class SampleSimilarity(RoutingTerm):
    """beta_same * mean distance of images with the same expert - beta_different * that of images
    with different experts.

    (1 / B^2) sum_{x, x'} D(x, x') [beta_same / E * sum_e p_e(x) p_e(x')
    - beta_different / (E^2 - E) * sum_{e != e'} p_e(x) p_e'(x')], where D is the Euclidean distance
    of the router's features, divided by the largest of the batch, without a gradient. Both sums are
    divided by B^2: if only one were, the other would have no effect.
    """

    needs = ("features",)
    always_positive = False

    def __init__(self, beta_same: float = 1.0, beta_different: float = 1.0) -> None:
        for name, beta in (("beta_same", beta_same), ("beta_different", beta_different)):
            if beta < 0:
                raise ValueError(f"{name} must be at least 0, got {beta}")
        self.beta_same, self.beta_different = beta_same, beta_different

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        assert output.features is not None, "refused when the model was composed"
        same, different = distances(output.routing.probs.float(), output.features)
        return self.beta_same * same - self.beta_different * different


def distances(probs: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean distance of images with the same and with different experts.
    [B, E], [B, ...] -> [], []
    """
    num_images, num_experts = probs.shape
    distance = pairwise_distance(features)  # [B, B]
    together = probs @ probs.mT  # [B, B] sum over e of p_e(x) p_e(x')
    mass = probs.sum(-1)
    apart = mass[:, None] * mass - together  # [B, B] sum over e != e' of p_e(x) p_e'(x')
    same = (distance * together).sum() / (num_experts * num_images**2)
    pairs = max(num_experts * (num_experts - 1), 1)
    return same, (distance * apart).sum() / (pairs * num_images**2)


@torch.no_grad()
def pairwise_distance(features: Tensor) -> Tensor:
    """Euclidean, divided by the largest of the batch, in 0..1. [B, ...] -> [B, B]"""
    # No gradient: the backbone must not pull images together to please the router.
    rows = features.flatten(1).float()
    distance = torch.cdist(rows, rows)
    return distance / distance.max().clamp(min=1e-20)
