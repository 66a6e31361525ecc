"""A bank of deep networks whose layers are bridged by residual projections (He et al. 2016,
equation 2, on fully connected layers).
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast, final

from torch import Tensor, nn

from moe_lab.dispatch import Plan
from moe_lab.experts.bank import ExpertBank, equal_share, first_layer, normalise
from moe_lab.networks.perceptron import activation_module, check_dropout, hidden_widths
from moe_lab.networks.stacked import StackedLinear


@final
class DeepExperts(ExpertBank):
    """E networks with layers h <- dropout(act(norm(W h))) + P h. [B, ...] -> [N, out]

    P is the identity where a layer keeps its width, else a linear layer.
    """

    def __init__(
        self,
        num_experts: int,
        in_features: int,
        hidden: int | list[int],
        out_features: int,
        dropout: float = 0.0,
        activation: str = "relu",
    ) -> None:
        super().__init__(num_experts, in_features, out_features)
        check_dropout(dropout)
        widths = [in_features, *hidden_widths(hidden)]
        self.projects = [before != after for before, after in pairwise(widths)]
        # W and P read the same rows: side by side they are one product.
        self.layers = nn.ModuleList(
            StackedLinear(num_experts, before, after * (1 + projects))
            for (before, after), projects in zip(pairwise(widths), self.projects, strict=True)
        )
        self.head = StackedLinear(num_experts, widths[-1], out_features)
        self.activation = activation_module(activation, in_place=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        first, *rest = (cast(StackedLinear, layer) for layer in self.layers)
        # Copies of the images are made only where the skip connection adds them unchanged.
        kept = None if self.projects[0] else plan.gather(features.flatten(1))
        rows = self._bridge(first_layer(first, features, plan), kept)
        for layer, projects in zip(rest, self.projects[1:], strict=True):
            rows = self._bridge(layer(rows, plan.counts), None if projects else rows)
        outputs: Tensor = self.head(rows, plan.counts)
        return outputs

    def _bridge(self, product: Tensor, rows: Tensor | None) -> Tensor:
        """W h, or [W h, P h] where the layer changes its width -> the next h. [N, H]"""
        inner, kept = product.chunk(2, dim=1) if rows is None else (product, rows)
        bridged: Tensor = self.dropout(self.activation(normalise(inner))) + kept
        return bridged

    def parameters_per_expert(self) -> list[int]:
        return equal_share(self)
