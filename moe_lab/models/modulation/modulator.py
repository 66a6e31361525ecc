"""The small network that reads an image and the feedback and modulates one site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Modulator(nn.Module):
    """tanh(W2 relu(W1 [context, signal] + b1) + b2): [B, D], [B, F] -> [B, width] in -1..1.

    The product with the context is the same in every pass and is computed once, by `begin`.
    """

    def __init__(
        self, context_features: int, signal_features: int, hidden: int, width: int
    ) -> None:
        super().__init__()
        self.context_features = context_features
        # One layer for both, so that its initial weights are scaled by the width of what it reads.
        self.first = nn.Linear(context_features + signal_features, hidden)
        self.second = nn.Linear(hidden, width)

    def begin(self, context: Tensor) -> Tensor:
        """The part of the first layer that all passes share: [B, D] -> [B, hidden]."""
        weight = self.first.weight[:, : self.context_features]
        return functional.linear(context, weight, self.first.bias)

    def forward(self, begun: Tensor, signal: Tensor) -> Tensor:
        """The first layer begun [B, hidden], and the signal [B, F] -> [B, width]."""
        weight = self.first.weight[:, self.context_features :]
        hidden = functional.relu(begun + functional.linear(signal, weight))
        # Bounded: without a bound a loop that feeds its output back can grow from pass to pass.
        return torch.tanh(self.second(hidden))


class Modulators(nn.Module):
    """One modulator for each site of a network: signal [B, F] -> {site: [B, width]}, every number
    in -s..s, s = strength.
    """

    def __init__(
        self,
        sites: Mapping[str, int],
        context_features: int,
        signal_features: int,
        hidden: int,
        strength: float,
    ) -> None:
        super().__init__()
        self.strength = strength
        self.sites = nn.ModuleDict(
            {
                site: Modulator(context_features, signal_features, hidden, width)
                for site, width in sites.items()
            }
        )

    def begin(self, context: Tensor) -> dict[str, Tensor]:
        """What all passes share: context [B, D] -> {site: [B, hidden]}."""
        sites = cast(Mapping[str, Modulator], self.sites)
        return {site: modulator.begin(context) for site, modulator in sites.items()}

    def forward(self, begun: Mapping[str, Tensor], signal: Tensor) -> dict[str, Tensor]:
        return {
            site: self.strength * modulator(begun[site], signal)
            for site, modulator in self.sites.items()
        }
