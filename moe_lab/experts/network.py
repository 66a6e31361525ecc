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
    """E networks made by one recipe, each with weights and, in batch norm, statistics of its own.

    Batch norm follows the images that the router sends, so answers in training depend on which
    these are.
    """
    check_images(in_features, in_shape)
    experts = [
        Headed(network(), in_shape, out_features, hidden, dropout) for _ in range(num_experts)
    ]
    return ExpertList(experts, out_features, in_features)
