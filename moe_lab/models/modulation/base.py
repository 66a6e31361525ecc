"""The contract of a network that can be modulated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

Started = dict[str, Tensor]  # [B, ...] what all passes share; "context" is what modulators see


class Modulated(nn.Module, ABC):
    """A classifier with named sites at which a number in -s..s may be added for every image.

    `begin` does once what no modulation reaches; `forward` does the rest, once a pass.
    """

    sites: dict[str, int]  # site -> how many numbers it takes
    context_features: int
    hidden_features: int

    @abstractmethod
    def begin(self, images: Tensor) -> Started:
        """What every pass starts from: [B, ...] by name, `context` [B, D] among them."""

    @abstractmethod
    def forward(
        self, started: Started, moves: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Hidden activations [B, H] and logits [B, C] under moves {site: [B, width]}, or none."""
