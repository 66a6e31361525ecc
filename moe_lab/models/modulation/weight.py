"""Weight modulation: every image gets weights of its own, kept in factors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.models.modulation.base import Modulated, Started


class WeightModulated(Modulated):
    """W(image) = W + U diag(m) V for both layers, with m [B, R] from the modulators.

    Applied as W x + U (m * (V x)), so no matrix an image is ever built: R (in + out) multiply-adds
    instead of in * out. V x of the first layer is the same in every pass.
    """

    def __init__(self, backbone: nn.Module, hidden: int, num_classes: int, rank: int) -> None:
        super().__init__()
        for name, value in (("hidden", hidden), ("rank", rank)):
            if value < 1:
                raise ValueError(f"modulation.{name} must be at least 1, got {value}")
        self.backbone = backbone
        width = int(backbone.out_features)  # type: ignore[arg-type]
        self.context_features, self.hidden_features = width, hidden
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, num_classes)
        self.first_down = nn.Linear(width, rank, bias=False)
        self.first_up = nn.Linear(rank, hidden, bias=False)
        self.second_down = nn.Linear(hidden, rank, bias=False)
        self.second_up = nn.Linear(rank, num_classes, bias=False)
        self.sites = {"first": rank, "second": rank}

    def begin(self, images: Tensor) -> Started:
        context = self.backbone(images)
        return {
            "context": context,
            "first": self.first(context),
            "first_down": self.first_down(context),
        }

    def forward(
        self, started: Started, moves: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        if moves is None:
            hidden = functional.relu(started["first"])
            return hidden, self.second(hidden)
        moved = self.first_up(moves["first"] * started["first_down"])
        hidden = functional.relu(started["first"] + moved)
        moved = self.second_up(moves["second"] * self.second_down(hidden))
        return hidden, self.second(hidden) + moved

    def weights_of(self, moves: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The matrices that each image is given, [B, H, D] and [B, C, H]: not for use."""
        first = torch.einsum(
            "hr,br,rd->bhd", self.first_up.weight, moves["first"], self.first_down.weight
        )
        second = torch.einsum(
            "cr,br,rh->bch", self.second_up.weight, moves["second"], self.second_down.weight
        )
        return self.first.weight + first, self.second.weight + second
