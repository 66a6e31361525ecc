"""What became of the tokens of a layer that routes tokens, from sums over batches."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from moe_lab.metrics.routing import variation
from moe_lab.metrics.sums import LayerStatistics, Totals
from moe_lab.outputs import LayeredOutput, Output


class TokenStatistics(LayerStatistics):
    """Load and losses of the experts counted in tokens, where `RoutingStatistics` counts images."""

    used: Tensor  # [E] tokens that an expert saw
    dropped: Tensor  # [E] tokens that were routed to it and found no room

    def __init__(self, num_experts: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        whole = torch.int64
        self.keep(
            used=torch.zeros(num_experts, dtype=whole),
            dropped=torch.zeros(num_experts, dtype=whole),
        )

    @classmethod
    def sized_for(cls, output: Output, layer: str, num_classes: int) -> Self | None:
        if not isinstance(output, LayeredOutput) or layer not in output.used:
            return None
        return cls(output.used[layer].shape[-1])

    def add(self, output: Output, layer: str, target: Tensor) -> None:
        assert isinstance(output, LayeredOutput)
        self.update(output.used[layer], output.dropped[layer])

    def update(self, used: Tensor, dropped: Tensor) -> None:
        """Add a batch: tokens of each image that each expert saw, and that it refused, [B, E]."""
        self.used = self.used + used.long().sum(0)
        self.dropped = self.dropped + dropped.long().sum(0)

    def values(self, totals: Totals) -> dict[str, float]:
        used, dropped = totals["used"], totals["dropped"]
        return {
            "token_cv": variation(used),
            "dropped_share": float(dropped.sum() / max(1, (used + dropped).sum())),
        }

    def tables_of(self, totals: Totals) -> dict[str, Any]:
        used, dropped = totals["used"], totals["dropped"]
        return {
            "token_load": (used / max(1, used.sum())).tolist(),
            "tokens_dropped": (dropped / max(1, (used + dropped).sum())).tolist(),
        }
