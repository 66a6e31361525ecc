"""The contract of a network that can be modulated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

SharedState = dict[str, Tensor]  # [B, ...] what all passes share; modulators read "context"


class Modulated(nn.Module, ABC):
    """A classifier with named sites, each modulated by numbers in -s..s per image:
    images -> hidden activations [B, H], logits [B, C].

    `begin` computes once what no modulation reaches; `forward` computes the rest in every pass.
    """

    sites: dict[str, int]  # site -> width, how many numbers modulate it
    context_features: int  # D, width of what the modulators read about the image
    hidden_features: int  # H

    @abstractmethod
    def begin(self, images: Tensor) -> SharedState:
        """What every pass starts from: {name: [B, ...]}, with `context` [B, D] among them."""

    @abstractmethod
    def forward(
        self, shared: SharedState, modulations: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Hidden activations [B, H] and logits [B, C], modulated by {site: [B, width]} or, in the
        first pass, by nothing.
        """
