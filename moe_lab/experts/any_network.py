"""Whole backbones as experts, each on its own images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from moe_lab.experts.conv import check_images
from moe_lab.experts.expert_list import ExpertList
from moe_lab.networks import Headed


def network_expert_list(
    num_experts: int,
    in_features: int,
    in_shape: Sequence[int],
    out_features: int,
    network: Callable[[], nn.Module],
    hidden: int | Sequence[int] | None = None,
    dropout: float = 0.0,
) -> ExpertList:
    """E networks built alike, each with its own weights and, in batch norm, its own statistics.

    Batch norm sees the images that the router sends, so outputs in training depend on which these
    are.
    """
    # Backbones read images, and these experts get features: only raw pixels are both.
    check_images(in_features, in_shape)
    experts = [
        Headed(network(), in_shape, out_features, hidden, dropout) for _ in range(num_experts)
    ]
    return ExpertList(experts, out_features, in_features)
