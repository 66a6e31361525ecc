"""Top-k routing: the k most probable experts (Fedus, Zoph & Shazeer 2022; Jiang et al. 2024)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router
from moe_lab.routers.gates import Gate

Normalize = Literal["auto", True, False]


class TopKRouter(Router):
    """probs = softmax(logits); weights = probs of the top_k largest, 0 elsewhere, [B, E].

    Normalised, the weights of an image sum to 1, which equals a softmax over the chosen logits.
    """

    def __init__(self, gate: Gate, top_k: int = 2, normalize: Normalize = "auto") -> None:
        super().__init__()
        self.gate = gate
        self.num_experts = gate.num_experts
        self.top_k = top_k
        self.normalize = resolve_normalize(normalize, top_k, self.num_experts)

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        probs = logits.softmax(-1)
        weights = keep_top_k(probs, self.top_k, self.normalize)
        return Routing(logits=logits, probs=probs, weights=weights)


def keep_top_k(probs: Tensor, top_k: int, normalize: bool) -> Tensor:
    """Zero all but the top_k largest of each row, [B, E] -> [B, E]; ties go to one expert each."""
    values, indices = probs.topk(top_k, dim=-1)
    if normalize:
        values = values / values.sum(-1, keepdim=True)
    return probs.new_zeros(probs.shape).scatter(-1, indices, values)


def resolve_normalize(normalize: Normalize, top_k: int, num_experts: int) -> bool:
    """Whether the chosen weights are to sum to 1; refuses the setting under which a gate cannot
    learn.
    """
    if not 1 <= top_k <= num_experts:
        raise ValueError(f"router.top_k must be in 1..num_experts = 1..{num_experts}, got {top_k}")
    if normalize not in ("auto", True, False):
        raise ValueError(f"router.normalize must be auto, true or false, got {normalize!r}")
    if normalize == "auto":
        return top_k > 1
    if normalize and top_k == 1 and num_experts > 1:
        raise ValueError(
            "router.normalize=true with router.top_k=1 makes every weight exactly 1, so that the "
            "gate gets no gradient and never learns: use router.normalize=false or auto"
        )
    return bool(normalize)
