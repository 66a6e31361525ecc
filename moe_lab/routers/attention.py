"""The attentive gate: experts are selected by their outputs (Krishnamurthy, Watkins & Gärtner 2023,
arXiv 2302.14703).
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from moe_lab.outputs import Routing
from moe_lab.routers.base import ExpertOutputRouter
from moe_lab.routers.gates import Gate
from moe_lab.routers.temperature import Temperature, as_temperature
from moe_lab.routers.top_k import Normalize, keep_top_k, resolve_normalize, row_sum_of_top_k


@final
class AttentionRouter(ExpertOutputRouter):
    """logits = query(features) . (W_k output_e) / sqrt(width); probs = softmax(logits /
    temperature); weights its top_k, [B, E].

    The query [B, width] is the output of a gate with `width` scores, whose last layer is W_q in the
    paper. Deviation: keys are made of the experts' outputs, not of their last hidden layers, so
    that any module can be an expert. As in the paper, the gradient also runs through the outputs.
    """

    def __init__(
        self,
        query: Gate,
        width: int,
        answer_features: int,
        num_experts: int,
        top_k: int | None = None,
        normalize: Normalize = "auto",
        temperature: Temperature | float = 1.0,
    ) -> None:
        super().__init__()
        if num_experts < 1:
            raise ValueError(f"router.num_experts must be at least 1, got {num_experts}")
        if query.num_experts != width:
            raise ValueError(
                f"router.query gives {query.num_experts} numbers, but router.width is {width}"
            )
        self.num_experts = num_experts
        self.top_k = num_experts if top_k is None else top_k
        self.normalize = resolve_normalize(normalize, self.top_k, num_experts)
        self.row_sum = row_sum_of_top_k(self.normalize, self.top_k, num_experts)
        self.temperature = as_temperature(temperature)
        self.query = query
        self.key = nn.Linear(answer_features, width, bias=False)

    def route(self, features: Tensor, outputs: Tensor) -> Routing:
        query = self.query(features)  # [B, width]
        keys = self.key(outputs)  # [B, E, width]
        # Divided by sqrt(width), as in scaled dot products: their spread grows with the width, and
        # an untrained router would be decided before it has learned anything.
        logits = (keys @ query.unsqueeze(-1)).squeeze(-1) * keys.shape[-1] ** -0.5
        probs = (logits / self.temperature()).softmax(-1)
        # All experts are computed anyway; top_k < E only removes them from the prediction.
        if self.top_k == self.num_experts:
            return Routing(logits=logits, probs=probs, weights=probs)
        weights = keep_top_k(probs, self.top_k, self.normalize)
        return Routing(logits=logits, probs=probs, weights=weights)
