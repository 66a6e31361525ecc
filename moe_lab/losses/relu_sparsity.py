"""The L1 penalty that makes ReLU routing sparse (ReMoE, Wang, Zhu & Chen 2024, arXiv
2412.14711).
"""

from __future__ import annotations

import torch
from torch import Tensor

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class ReluSparsity(RoutingTerm):
    """Mean over images of sum_e f_e * weights_e, where f_e = 1, or, if `balanced`, E times expert
    e's share of the (image, expert) pairs, without a gradient.

    For weights that are not normalised: where they sum to 1 it is constant. The paper divides by
    its target top_k where this divides by the pairs in use; the paper's coefficient that adapts to
    a target sparsity is left to the weight and its schedule.
    """

    always_positive = False  # 0 where every expert is off

    def __init__(self, balanced: bool = True) -> None:
        self.balanced = balanced

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        weights = output.routing.weights.float()
        penalty = relative_load(weights) * weights if self.balanced else weights
        return penalty.sum(-1).mean()


@torch.no_grad()
def relative_load(weights: Tensor) -> Tensor:
    """E times each expert's share of the non-zero weights, [B, E] -> [E]; 1 for all when equal."""
    # Counts have no gradient; they make the L1 penalty heavier on experts that many images use.
    counts = (weights != 0).sum(0).float()
    return counts.numel() * counts / counts.sum().clamp(min=1)
