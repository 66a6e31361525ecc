"""Weight modulation: every image gets weights of its own, kept in factors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.models.modulation.base import Modulated, SharedState


class WeightModulated(Modulated):
    """W(image) = W + U diag(m) V for both layers, with m [B, R] from the modulators:
    images -> [B, H], [B, C].

    Applied as W x + U (m * (V x)), so that no matrix per image is ever built: R (in + out)
    multiply-adds instead of in * out. V x of the first layer is the same in every pass.
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
        # No biases: modulation of 0 must leave exactly the unmodulated network.
        self.first_down = nn.Linear(width, rank, bias=False)
        self.first_up = nn.Linear(rank, hidden, bias=False)
        self.second_down = nn.Linear(hidden, rank, bias=False)
        self.second_up = nn.Linear(rank, num_classes, bias=False)
        self.sites = {"first": rank, "second": rank}

    def begin(self, images: Tensor) -> SharedState:
        context = self.backbone(images)
        return {
            "context": context,  # [B, D]
            "first": self.first(context),  # [B, H]
            "first_down": self.first_down(context),  # [B, R]
        }

    def forward(
        self, shared: SharedState, modulations: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        if modulations is None:
            hidden = functional.relu(shared["first"])
            return hidden, self.second(hidden)
        update = self.first_up(modulations["first"] * shared["first_down"])  # [B, H]
        hidden = functional.relu(shared["first"] + update)
        update = self.second_up(modulations["second"] * self.second_down(hidden))  # [B, C]
        return hidden, self.second(hidden) + update

    def weights_of(self, modulations: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The weights of each image, [B, H, D] and [B, C, H], for inspection: `forward` never
        builds them.
        """
        first = torch.einsum(
            "hr,br,rd->bhd", self.first_up.weight, modulations["first"], self.first_down.weight
        )
        second = torch.einsum(
            "cr,br,rh->bch", self.second_up.weight, modulations["second"], self.second_down.weight
        )
        return self.first.weight + first, self.second.weight + second
