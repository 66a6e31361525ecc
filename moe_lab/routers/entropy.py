"""No gate: the experts with the most confident predictions are selected, without labels (the
"no-gate" mixture that accompanies Krishnamurthy, Watkins & Gärtner 2023, arXiv 2302.14703).
"""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import ExpertOutputRouter, RowSum
from moe_lab.routers.temperature import Temperature, as_temperature
from moe_lab.routers.top_k import equal_top_k

Mode = Literal["expectation", "top_1"]


@final
class EntropyRouter(ExpertOutputRouter):
    """logits = -H(softmax(output_e)) in nats; probs = softmax(logits / temperature); weights =
    probs, or 1 for the most confident expert, [B, E].

    Nothing is learned but a learnable temperature. With mode=expectation the experts also get a
    gradient for being confident, right or wrong; with mode=top_1 from the task alone.
    """

    row_sum: RowSum = "one"

    def __init__(
        self,
        num_experts: int,
        mode: Mode = "expectation",
        temperature: Temperature | float = 1.0,
    ) -> None:
        super().__init__()
        if num_experts < 1:
            raise ValueError(f"num_experts must be at least 1, got {num_experts}")
        if mode not in ("expectation", "top_1"):
            raise ValueError(f"router.mode must be expectation or top_1, got {mode!r}")
        self.num_experts = num_experts
        self.mode = mode
        self.temperature = as_temperature(temperature)

    def route(self, features: Tensor, outputs: Tensor) -> Routing:
        log_probs = outputs.log_softmax(-1)  # [B, E, C]
        # log_softmax of finite outputs is finite, so that p log p is never 0 * -inf.
        logits = (log_probs.exp() * log_probs).sum(-1)  # minus the entropy
        probs = (logits / self.temperature()).softmax(-1)
        # Detached: equal weights have no gradient anyway, and the choice is not differentiable.
        weights = probs if self.mode == "expectation" else equal_top_k(logits.detach(), 1)
        return Routing(logits=logits, probs=probs, weights=weights)
