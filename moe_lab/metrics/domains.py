"""What the experts have divided among themselves of the domains that the images come from."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from moe_lab.metrics.specialisation import specialisation
from moe_lab.metrics.sums import LayerStatistics, Totals, add_up
from moe_lab.outputs import Output


class DomainStatistics(LayerStatistics):
    """I(E;D) between an image's first expert and its true domain, as I(E;Y) is of its class.

    The first expert is the one with the largest weight; an image without any weight has none.
    """

    of_domains: ClassVar[bool] = True
    first: Tensor  # [E, domains] images of a domain whose largest weight an expert has

    def __init__(self, num_experts: int, num_domains: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep(first=torch.zeros(num_experts, num_domains, dtype=torch.int64))

    @classmethod
    def sized_for(cls, output: Output, layer: str, num_classes: int) -> Self:
        return cls(output.routings[layer].num_experts, num_classes)

    def add(self, output: Output, layer: str, target: Tensor) -> None:
        self.update(output.routings[layer].weights, target)

    def update(self, weights: Tensor, domain: Tensor) -> None:
        """Add a batch: weights [B, E] and true domains [B]."""
        cell = weights.argmax(-1) * self.first.shape[1] + domain
        has_expert = (weights.sum(-1) > 0).long()
        added = add_up(cell, has_expert, self.first.numel())
        self.first = self.first + added.view(self.first.shape)

    def values(self, totals: Totals) -> dict[str, float]:
        found = specialisation(totals["first"])
        return {
            "domain_information": found["mutual_information"],
            "domain_information_null": found["mutual_information_null"],
            "domain_information_p_value": found["mutual_information_p_value"],
            "domain_adjusted_information": found["specialisation"],
        }

    def tables_of(self, totals: Totals) -> dict[str, Any]:
        return {"first_by_domain": totals["first"].tolist()}
