"""What a router did, from sums over batches: right for every batch size and number of devices. All
entropies in bits.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torchmetrics import Metric

from moe_lab.outputs import Routing

DEAD_SHARE = 0.01  # an expert with less than this part of its fair share counts as dead
NUM_PERMUTATIONS = 999


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


def entropy_in_bits(amounts: NDArray[np.floating] | NDArray[np.integer]) -> float:
    """Entropy of non-negative amounts after scaling them to sum to 1."""
    total = amounts.sum()
    return float(stats.entropy(amounts.ravel(), base=2)) if total > 0 else 0.0


def plug_in_information(table: NDArray[np.integer]) -> float:
    """I(E; Y) = H(E) + H(Y) - H(E, Y) in bits of a table of counts [E, C]; biased upwards."""
    rows, columns = table.sum(1), table.sum(0)
    return entropy_in_bits(rows) + entropy_in_bits(columns) - entropy_in_bits(table)


def mutual_information(
    table: NDArray[np.integer], permutations: int = NUM_PERMUTATIONS
) -> dict[str, float]:
    """I(E; Y) between first-choice expert and true label, less what chance gives, from counts [E,
    C].

    Permuting the labels keeps both margins of the table, so the null is drawn straight from tables
    with these margins (Patefield 1981). Its mean is the bias that is taken off, and the p-value is
    (1 + #{null >= seen}) / (1 + n).
    """
    rows, columns = table.sum(1), table.sum(0)
    seen = plug_in_information(table)
    rows, columns = rows[rows > 0], columns[columns > 0]
    if len(rows) < 2 or len(columns) < 2:
        return {
            "mutual_information": 0.0,
            "mutual_information_null": 0.0,
            "mutual_information_p_value": 1.0,
        }
    # Seeded by the table: the same answer twice, and unrelated draws for different tables.
    seed = zlib.crc32(np.ascontiguousarray(table, dtype=np.int64).tobytes())
    draws = stats.random_table(rows, columns).rvs(permutations, random_state=seed)  # [n, E, C]
    share = draws / table.sum()
    joint = -(share * np.log2(np.where(share > 0, share, 1))).sum((1, 2))
    null = entropy_in_bits(rows) + entropy_in_bits(columns) - joint
    # The tolerance counts a draw equal to the table as "as large", whatever the summation order.
    as_large = int((null >= seen - 1e-12).sum())
    return {
        "mutual_information": seen - float(null.mean()),
        "mutual_information_null": float(null.mean()),
        "mutual_information_p_value": (1 + as_large) / (1 + permutations),
    }
