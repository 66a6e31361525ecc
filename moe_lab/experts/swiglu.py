"""A bank of gated linear units (Shazeer 2020, SwiGLU, equation 6)."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn import functional

from moe_lab.dispatch import Plan
from moe_lab.experts.bank import ExpertBank, equal_share, first_layer
from moe_lab.networks.perceptron import check_dropout, check_positive
from moe_lab.networks.stacked import StackedLinear


@final
class SwiGLUExperts(ExpertBank):
    """E networks (silu(x W) * x V) U. [B, ...] -> [N, out]

    All three layers have a bias, which the paper leaves out: here the outputs are class logits.
    """

    def __init__(
        self,
        num_experts: int,
        in_features: int,
        hidden: int,
        out_features: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_experts, in_features, out_features)
        check_positive(hidden=hidden)
        check_dropout(dropout)
        # W and V read the same rows: side by side they are one product.
        self.gate_and_value = StackedLinear(num_experts, in_features, 2 * hidden)
        self.head = StackedLinear(num_experts, hidden, out_features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        gate, value = first_layer(self.gate_and_value, features, plan).chunk(2, dim=1)
        outputs: Tensor = self.head(self.dropout(functional.silu(gate) * value), plan.counts)
        return outputs

    def parameters_per_expert(self) -> list[int]:
        return equal_share(self)
