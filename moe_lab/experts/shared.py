"""Experts that always answer beside those that are routed (DeepSeekMoE, Dai et al. 2024, equation
9).
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
    """Answer e is routed_e(x) + the sum of all shared experts' answers. [B, ...] -> [N, out]

    Summed by weight, that is sum_e w_e routed_e(x) + shared(x) sum_e w_e: weights that sum to 1
    give the paper's layer (less its residual stream), others scale the shared answer too. The
    shared experts see each image of the plan once, however many experts it has. `num_experts`
    counts the routed ones.
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
        return self.routed(features, plan) + plan.gather(self._shared_answers(features, plan))

    def _shared_answers(self, features: Tensor, plan: Plan) -> Tensor:
        """[B, ...] -> [B, out], not computed for images that nobody is asked about."""
        if plan.bounds is None:
            return self._sum(features)
        asked = plan.bounds.diff().nonzero().view(-1)
        if len(asked) == plan.num_rows:
            return self._sum(features)
        answers = self._sum(features.index_select(0, asked))
        return answers.new_zeros(plan.num_rows, self.out_features).index_copy(0, asked, answers)

    def _sum(self, features: Tensor) -> Tensor:
        everyone = Plan.every(len(features), self.shared.num_experts, features.device)
        return everyone.combine(self.shared(features, everyone))

    def shared_flops_per_image(self) -> int:
        """What the shared experts cost an image: two operations a weight, none for biases."""
        layers = [m for m in self.shared.modules() if isinstance(m, StackedLinear)]
        return 2 * sum(layer.weight.numel() for layer in layers)

    def parameters_per_expert(self) -> list[int]:
        return self.routed.parameters_per_expert()
