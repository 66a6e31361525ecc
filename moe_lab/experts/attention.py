"""A bank of experts with attention inside the hidden vector (operator of Vaswani et al. 2017,
equation 1).
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from moe_lab.dispatch import Plan
from moe_lab.experts.bank import ExpertBank, equal_share, first_layer, normalise
from moe_lab.networks.perceptron import activation_module, check_dropout, check_positive
from moe_lab.networks.stacked import StackedLinear


@final
class AttentionExperts(ExpertBank):
    """E networks whose `num_heads` pieces of one hidden vector attend to each other.
    [B, ...] -> [N, out]

    There is no sequence: an image is one vector, and images never see each other. Its queries, keys
    and values are cut into pieces [num_heads, H / num_heads], and each piece takes a mean of all
    pieces' values, weighted by softmax(queries keys' / sqrt(H / num_heads)).
    """

    def __init__(
        self,
        num_experts: int,
        in_features: int,
        hidden: int,
        out_features: int,
        num_heads: int = 4,
        dropout: float = 0.0,
        activation: str = "relu",
    ) -> None:
        super().__init__(num_experts, in_features, out_features)
        check_positive(hidden=hidden, num_heads=num_heads)
        check_dropout(dropout)
        if hidden % num_heads:
            raise ValueError(
                f"expert.num_heads must divide expert.hidden = {hidden}, got {num_heads}"
            )
        self.pieces = (3, num_heads, hidden // num_heads)
        self.stem = StackedLinear(num_experts, in_features, hidden)
        self.read = StackedLinear(num_experts, hidden, 3 * hidden)  # queries, keys and values
        self.write = StackedLinear(num_experts, hidden, hidden)
        self.widen = StackedLinear(num_experts, hidden, 2 * hidden)
        self.head = StackedLinear(num_experts, 2 * hidden, out_features)
        self.activation = activation_module(activation, in_place=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        counts = plan.counts
        rows = self.dropout(self.activation(normalise(first_layer(self.stem, features, plan))))
        # [N, num_heads, H / num_heads] each. The heads of one vector are the sequence here: in
        # multi-head attention as usual they would never see each other.
        queries, keys, values = self.read(rows, counts).unflatten(1, self.pieces).unbind(1)
        scores = queries @ keys.mT * self.pieces[2] ** -0.5  # [N, num_heads, num_heads]
        # softmax runs in float32 under autocast; back to the type of the values before the product.
        mixed = (scores.softmax(-1).to(values.dtype) @ values).flatten(1)  # [N, H]
        rows = normalise(rows + self.write(mixed, counts))
        outputs: Tensor = self.head(self.activation(self.widen(rows, counts)), counts)
        return outputs

    def parameters_per_expert(self) -> list[int]:
        return equal_share(self)
