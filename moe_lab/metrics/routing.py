"""What a router did, from sums over batches: right for every batch size and number of devices. All
entropies in bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from moe_lab.metrics.information import entropy_in_bits, mutual_information
from moe_lab.outputs import Routing

DEAD_SHARE = 0.01  # an expert with less than this part of its fair share counts as dead


class RoutingStatistics(Metric):
    """Load, entropies and mutual information of one router over an evaluation."""

    full_state_update = False
    selected: Tensor  # [E] images on which an expert was used
    mass: Tensor  # [E] summed shares of weight
    first: Tensor  # [E, C] images of a class whose largest weight an expert has
    entropy: Tensor  # [] summed entropy of an image's weights
    images: Tensor  # []

    def __init__(self, num_experts: int, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_experts, self.num_classes = num_experts, num_classes
        whole = torch.int64
        for name, state in (
            ("selected", torch.zeros(num_experts, dtype=whole)),
            ("mass", torch.zeros(num_experts)),
            ("first", torch.zeros(num_experts, num_classes, dtype=whole)),
            ("entropy", torch.zeros(())),
            ("images", torch.zeros((), dtype=whole)),
        ):
            self.add_state(name, state, dist_reduce_fx="sum")

    def update(self, routing: Routing, target: Tensor) -> None:
        """Add a batch: routing [B, E] with its true labels [B]."""
        weights = routing.weights.detach().float()
        share = weights / weights.sum(-1, keepdim=True).clamp(min=1e-20)  # [B, E]
        cell = weights.argmax(-1) * self.num_classes + target  # [B]
        answered = weights.sum(-1) > 0
        counts = torch.bincount(cell[answered], minlength=self.first.numel())
        self.first += counts.view_as(self.first)
        self.selected += (weights != 0).sum(0)
        self.mass += share.sum(0)
        self.entropy += torch.special.entr(share).sum() / np.log(2)
        self.images += len(target)

    def compute(self) -> dict[str, float]:
        """The numbers of the summary, as plain floats."""
        images = max(1, int(self.images))
        selected = self.selected.double().cpu().numpy()
        load = selected / max(1.0, selected.sum())
        mass = self.mass.double().cpu().numpy()
        information = mutual_information(self.first.cpu().numpy())
        return {
            "load_cv": float(load.std() / load.mean()) if load.mean() > 0 else 0.0,
            "max_load_share": float(load.max()),
            "dead_experts": float((load < DEAD_SHARE / self.num_experts).sum()),
            "experts_per_image": float(selected.sum() / images),
            "routing_entropy": float(self.entropy) / images,
            "usage_entropy": entropy_in_bits(mass),
            **information,
        }

    def used_share(self) -> list[float]:
        """The share of images on which each expert was computed, [E]."""
        return [float(count) / max(1, int(self.images)) for count in self.selected]
