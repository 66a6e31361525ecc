"""A bank of residual networks (He et al. 2016, equation 1, on fully connected layers)."""

from __future__ import annotations

from typing import cast, final

from torch import Tensor, nn

from moe_lab.dispatch import Plan
from moe_lab.experts.bank import ExpertBank, equal_share, first_layer, normalise
from moe_lab.networks.perceptron import activation_module, check_dropout, check_positive
from moe_lab.networks.stacked import StackedLinear


@final
class ResidualExperts(ExpertBank):
    """E networks with blocks h <- act(h + norm(V dropout(act(norm(W h))))). [B, ...] -> [N, out]

    A first layer h = act(norm(W x)) maps the image to `hidden` units.
    """

    def __init__(
        self,
        num_experts: int,
        in_features: int,
        hidden: int,
        out_features: int,
        num_blocks: int = 2,
        dropout: float = 0.0,
        activation: str = "relu",
    ) -> None:
        super().__init__(num_experts, in_features, out_features)
        check_positive(hidden=hidden, num_blocks=num_blocks)
        check_dropout(dropout)
        self.stem = StackedLinear(num_experts, in_features, hidden)
        self.blocks = nn.ModuleList(
            StackedLinear(num_experts, hidden, hidden) for _ in range(2 * num_blocks)
        )
        self.head = StackedLinear(num_experts, hidden, out_features)
        self.activation = activation_module(activation, in_place=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        rows = self.activation(normalise(first_layer(self.stem, features, plan)))
        # One flat list, inner and outer layers in turn: parameter names are part of checkpoints.
        layers = [cast(StackedLinear, layer) for layer in self.blocks]
        for inner, outer in zip(layers[::2], layers[1::2], strict=True):
            hidden = self.dropout(self.activation(normalise(inner(rows, plan.counts))))
            # Normalised before the addition: the skip connection itself stays an identity.
            rows = self.activation(rows + normalise(outer(hidden, plan.counts)))
        outputs: Tensor = self.head(rows, plan.counts)
        return outputs

    def parameters_per_expert(self) -> list[int]:
        return equal_share(self)
