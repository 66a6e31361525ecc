"""Sigmoid scores and a bias that balances the load without a loss (Wang et al. 2024, arXiv
2408.15664; DeepSeek-V3, arXiv 2412.19437).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from moe_lab.networks.progress import FollowsSteps
from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, mean_over_ranks
from moe_lab.routers.gates import Gate
from moe_lab.routers.top_k import Normalize, keep_chosen, resolve_normalize, row_sum_of_top_k


@final
class SigmoidBalancedRouter(Router, FollowsSteps):
    """Selects the top_k of sigmoid(logits) + bias; probs = sigmoid(logits) over their sum; weights
    = probs of the selected, without the bias, [B, E].

    Normalised, the weights are the papers' s_e over the sum of the selected s. Otherwise they are
    shares of all scores rather than raw sigmoids, so that they sum to at most 1.

    After each optimizer step, bias += bias_rate * sign(mean count - count), with the counts of all
    its images.
    """

    bias: Tensor  # [E] float32
    counts: Tensor  # [E] float32, images of the step so far that selected an expert

    def __init__(
        self,
        gate: Gate,
        top_k: int = 2,
        bias_rate: float = 1e-3,
        normalize: Normalize = "auto",
    ) -> None:
        super().__init__()
        if bias_rate < 0:
            raise ValueError(f"router.bias_rate must be at least 0, got {bias_rate}")
        self.gate = gate
        self.num_experts = gate.num_experts
        self.top_k = top_k
        self.bias_rate = bias_rate
        self.normalize = resolve_normalize(normalize, top_k, self.num_experts)
        self.row_sum = row_sum_of_top_k(self.normalize, top_k, self.num_experts)
        self.register_buffer("bias", torch.zeros(self.num_experts))
        self.register_buffer("counts", torch.zeros(self.num_experts), persistent=False)

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        selected = (logits.detach().sigmoid() + self.bias).topk(self.top_k, dim=-1).indices
        if self.training:
            self._count(selected)
        # Ratios of sigmoids are a softmax of their logarithms, which needs no epsilon.
        log_scores = functional.logsigmoid(logits)
        weights = keep_chosen(log_scores, selected, self.normalize)
        return Routing(logits=logits, probs=log_scores.softmax(-1), weights=weights)

    @torch.no_grad()
    def _count(self, selected: Tensor) -> None:
        used = torch.zeros(len(selected), self.num_experts, device=selected.device)
        self.counts += used.scatter(-1, selected, 1.0).sum(0)

    @torch.no_grad()
    def end_step(self) -> None:
        counts = mean_over_ranks(self.counts)
        self.bias += self.bias_rate * (counts.mean() - counts).sign()
        self.counts.zero_()
