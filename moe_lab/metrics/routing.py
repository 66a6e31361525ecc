"""What a router did, from sums over batches: right for every batch size and number of devices. All
entropies in bits.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moe_lab.metrics.information import entropy_in_bits
from moe_lab.metrics.specialisation import class_entropy, specialisation, specialisation_tables
from moe_lab.metrics.sums import LayerStatistics, Totals, add_up, ratio
from moe_lab.outputs import Output, Routing, weight_shares

DEAD_SHARE = 0.01  # an expert with less than this part of a fair load, 1 / E, counts as dead


class RoutingStatistics(LayerStatistics):
    """Load, entropies, confidence and specialisation of one router over an evaluation.

    The load of an expert is the mean over images of its share of their weight, see `weight_shares`;
    loads sum to 1. An expert with less than 1 % of a fair load is dead, all others are alive.
    An image's first expert is the one with its largest weight; an image without any weight has
    none and counts in no table of first experts.
    """

    together: Tensor  # [E, E] images on which both experts were used, or one, on the diagonal
    mass: Tensor  # [C, E] summed shares of weight, by true class
    first: Tensor  # [E, C] images of a class whose largest weight an expert has
    first_correct: Tensor  # [E, C] those among them that were classified correctly
    entropy: Tensor  # [C] summed entropy of an image's weights, by true class
    by_class: Tensor  # [C] images
    confidence: Tensor  # [] summed largest prob
    margin: Tensor  # [] summed largest prob less the second

    def __init__(self, num_experts: int, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_experts, self.num_classes = num_experts, num_classes
        whole = torch.int64
        self.keep(
            together=torch.zeros(num_experts, num_experts, dtype=whole),
            mass=torch.zeros(num_classes, num_experts),
            first=torch.zeros(num_experts, num_classes, dtype=whole),
            first_correct=torch.zeros(num_experts, num_classes, dtype=whole),
            entropy=torch.zeros(num_classes),
            by_class=torch.zeros(num_classes, dtype=whole),
            confidence=torch.zeros(()),
            margin=torch.zeros(()),
        )

    @classmethod
    def sized_for(cls, output: Output, layer: str, num_classes: int) -> Self:
        return cls(output.routings[layer].num_experts, num_classes)

    def add(self, output: Output, layer: str, target: Tensor) -> None:
        correct = output.log_probs.argmax(-1) == target
        self.update(output.routings[layer], target, correct)

    def update(self, routing: Routing, target: Tensor, correct: Tensor) -> None:
        """Add a batch: routing [B, E], true labels [B], and if the prediction was correct [B]."""
        weights = routing.weights.detach().float()
        share = weight_shares(weights)  # [B, E]
        entropy = torch.special.entr(share).sum(-1) / math.log(2)  # [B]
        has_expert = weights.sum(-1) > 0
        self._add_first(weights.argmax(-1) * self.num_classes + target, has_expert, correct)
        used = (weights != 0).float()
        # Mixed precision would round the counts to the eight bits of bfloat16.
        with torch.autocast(used.device.type, enabled=False):
            self.together = self.together + (used.T @ used).long()
        self.mass = self.mass + add_up(target, share, self.num_classes)
        self.entropy = self.entropy + add_up(target, entropy, self.num_classes)
        self.by_class = self.by_class + add_up(target, torch.ones_like(target), self.num_classes)
        top = routing.probs.detach().float().topk(min(2, self.num_experts)).values  # [B, 2]
        self.confidence = self.confidence + top[:, 0].sum()
        self.margin = self.margin + top[:, 0].sum() - top[:, 1:].sum()

    def _add_first(self, cell: Tensor, has_expert: Tensor, correct: Tensor) -> None:
        size, shape = self.first.numel(), self.first.shape
        self.first = self.first + add_up(cell, has_expert.long(), size).view(shape)
        right = add_up(cell, (has_expert & correct).long(), size).view(shape)
        self.first_correct = self.first_correct + right

    def values(self, totals: Totals) -> dict[str, float]:
        images = max(1, int(totals["by_class"].sum()))
        mass = totals["mass"].astype(np.float64).T  # [E, C]
        load = loads(mass)
        spread = class_entropy(mass)
        return {
            "load_cv": variation(load),
            "max_load_share": float(load.max()),
            "max_load_ratio": float(load.max()) * self.num_experts,
            "dead_experts": float((load < DEAD_SHARE / self.num_experts).sum()),
            "experts_per_image": float(np.trace(totals["together"]) / images),
            "routing_entropy": float(totals["entropy"].astype(np.float64).sum()) / images,
            "usage_entropy": entropy_in_bits(mass.sum(1)),
            "class_entropy": float(np.nanmean(spread)) if np.isfinite(spread).any() else 0.0,
            "router_confidence": float(totals["confidence"]) / images,
            "router_margin": float(totals["margin"]) / images,
            **specialisation(totals["first"]),
        }

    def tables_of(self, totals: Totals) -> dict[str, Any]:
        mass = totals["mass"].astype(np.float64).T  # [E, C]
        selected = np.diag(totals["together"])
        images = totals["by_class"]
        return {
            "load": loads(mass).tolist(),
            "used_share": (selected / max(1, images.sum())).tolist(),
            "mass": mass.tolist(),
            **specialisation_tables(totals["first"], totals["first_correct"]),
            "co_activation": totals["together"].tolist(),
            "class_entropy": class_entropy(mass).tolist(),
            "class_routing_entropy": ratio(totals["entropy"], images).tolist(),
        }


def loads(mass: NDArray[np.floating]) -> NDArray[np.floating]:
    """Each expert's load from summed shares of weight [E, C], [E]; 0 where no image has an
    expert.
    """
    return mass.sum(1) / max(1e-20, float(mass.sum()))


def variation(amounts: NDArray[np.floating]) -> float:
    """Coefficient of variation, population form; 0 where all amounts are 0."""
    return float(amounts.std() / amounts.mean()) if amounts.mean() > 0 else 0.0
