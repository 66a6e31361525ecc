"""Experts that compute nothing, so that the router decides how many real ones an image gets (null
experts of AdaMoE, Zeng et al. 2024; zero experts of MoE++, Jin et al. 2024).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from moe_lab.dispatch import Plan
from moe_lab.experts.bank import ExpertBank
from moe_lab.experts.mlp import MLPExperts


@final
class ZeroExperts(ExpertBank):
    """E - num_zero perceptrons, then num_zero experts whose logits are 0. [B, ...] -> [N, out]

    Zero logits are the uniform distribution: weight that goes there makes the prediction less
    confident and costs nothing.
    """

    def __init__(
        self,
        num_experts: int,
        in_features: int,
        hidden: int | list[int],
        out_features: int,
        num_zero: int | None = None,
        dropout: float = 0.0,
        activation: str = "relu",
    ) -> None:
        super().__init__(num_experts, in_features, out_features)
        self.num_zero = num_experts // 4 if num_zero is None else num_zero
        if not 0 <= self.num_zero < num_experts:
            raise ValueError(
                f"expert.num_zero must be in 0..num_experts - 1 = 0..{num_experts - 1}, got "
                f"{num_zero}: at least one expert has to compute something"
            )
        self.real = MLPExperts(
            num_experts - self.num_zero, in_features, hidden, out_features, dropout, activation
        )

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        # Pairs are sorted by expert and the zero experts are last: so are their rows.
        outputs = self.real(features, plan.first(self.real.num_experts))
        idle = plan.row.shape[0] - outputs.shape[0]
        return torch.cat([outputs, outputs.new_zeros(idle, self.out_features)])

    def parameters_per_expert(self) -> list[int]:
        return self.real.parameters_per_expert() + [0] * self.num_zero
