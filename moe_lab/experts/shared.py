"""Experts that process every image, beside those that are routed (DeepSeekMoE, Dai et al. 2024,
equation 9).
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.dispatch import Plan
from moe_lab.experts.bank import ExpertBank
from moe_lab.experts.mlp import MLPExperts
from moe_lab.networks.perceptron import check_positive
from moe_lab.networks.stacked import StackedLinear


@final
class SharedExperts(ExpertBank):
    """Output e is routed_e(x) + the sum of all shared experts' outputs. [B, ...] -> [N, out]

    The weighted sum is sum_e w_e routed_e(x) + shared(x) sum_e w_e: weights that sum to 1 give the
    paper's layer (less its residual stream), others scale the shared output too. The shared experts
    process each image of the plan once, however many experts it has. `num_experts` counts the
    routed ones.
    """

    def __init__(
        self,
        num_experts: int,
        in_features: int,
        hidden: int | list[int],
        out_features: int,
        num_shared: int = 1,
        shared_hidden: int | list[int] | None = None,
        dropout: float = 0.0,
        activation: str = "relu",
    ) -> None:
        super().__init__(num_experts, in_features, out_features)
        check_positive(num_shared=num_shared)
        ends = (out_features, dropout, activation)
        shared_hidden = hidden if shared_hidden is None else shared_hidden
        self.routed = MLPExperts(num_experts, in_features, hidden, *ends)
        self.shared = MLPExperts(num_shared, in_features, shared_hidden, *ends)

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        # Added to every pair, because a bank returns pairs: the combine rule then needs no second
        # input for what is not routed.
        return self.routed(features, plan) + plan.gather(self._shared_outputs(features, plan))

    def _shared_outputs(self, features: Tensor, plan: Plan) -> Tensor:
        """[B, ...] -> [B, out], not computed for images without any expert."""
        if plan.bounds is None:  # dense: every image has all experts
            return self._sum(features)
        # Images whose pairs start and end at the same place have none.
        used = plan.bounds.diff().nonzero().view(-1)
        if len(used) == plan.num_rows:
            return self._sum(features)
        outputs = self._sum(features.index_select(0, used))
        return outputs.new_zeros(plan.num_rows, self.out_features).index_copy(0, used, outputs)

    def _sum(self, features: Tensor) -> Tensor:
        """The sum over the shared experts, [B, ...] -> [B, out]."""
        num_images, num_shared = features.shape[0], self.shared.num_experts
        every_pair = Plan.every(num_images, num_shared, features.device)
        return every_pair.combine(self.shared(features, every_pair))

    def shared_flops_per_image(self) -> int:
        """What the shared experts cost an image: two operations a weight, none for biases."""
        layers = [m for m in self.shared.modules() if isinstance(m, StackedLinear)]
        return 2 * sum(layer.weight.numel() for layer in layers)

    def parameters_per_expert(self) -> list[int]:
        # Of the routed ones alone: the shared experts are never idle.
        return self.routed.parameters_per_expert()
