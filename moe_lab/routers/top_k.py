"""Top-k routing: the k most probable experts (Fedus, Zoph & Shazeer 2022; Jiang et al. 2024)."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor

from moe_lab.outputs import Routing
from moe_lab.routers.base import Router, RowSum
from moe_lab.routers.gates import Gate
from moe_lab.routers.temperature import Temperature, as_temperature

Normalize = Literal["auto", True, False]


@final
class TopKRouter(Router):
    """probs = softmax(logits / temperature); weights = probs of the top_k largest, 0 elsewhere,
    [B, E].

    Normalised, the weights of an image sum to 1, which equals a softmax over the selected logits.
    """

    def __init__(
        self,
        gate: Gate,
        top_k: int = 2,
        normalize: Normalize = "auto",
        temperature: Temperature | float = 1.0,
    ) -> None:
        super().__init__()
        self.gate = gate
        self.num_experts = gate.num_experts
        self.top_k = top_k
        self.normalize = resolve_normalize(normalize, top_k, self.num_experts)
        self.row_sum = row_sum_of_top_k(self.normalize, top_k, self.num_experts)
        self.temperature = as_temperature(temperature)

    def route(self, features: Tensor) -> Routing:
        logits = self.gate(features)
        # Over all experts, before selection: balance terms need a gradient for those not selected.
        probs = (logits / self.temperature()).softmax(-1)
        weights = keep_top_k(probs, self.top_k, self.normalize)
        return Routing(logits=logits, probs=probs, weights=weights)


def keep_top_k(probs: Tensor, top_k: int, normalize: bool) -> Tensor:
    """Zero all but the top_k largest of each row, [B, E] -> [B, E]."""
    # By index, not by comparison with the k-th value, which in a tie would keep more than top_k.
    values, indices = probs.topk(top_k, dim=-1)
    if normalize:
        values = values / values.sum(-1, keepdim=True)
    return probs.new_zeros(probs.shape).scatter(-1, indices, values)


def keep_chosen(log_scores: Tensor, chosen: Tensor, normalize: bool) -> Tensor:
    """softmax(log_scores) at the `chosen` experts [B, k], 0 elsewhere, [B, E] -> [B, E].

    The chosen ones need not be the largest.
    """
    if normalize:
        # The same as dividing probabilities by their sum, which could be 0 / 0.
        values = log_scores.gather(-1, chosen).softmax(-1)
    else:
        values = log_scores.softmax(-1).gather(-1, chosen)
    return log_scores.new_zeros(log_scores.shape).scatter(-1, chosen, values)


def sum_to_one(kept: Tensor) -> Tensor:
    """Rows divided by their sum, which counts as a constant in the backward pass, [B, E] -> [B, E].

    Where one expert is left, its weight is exactly 1, and the gate still gets a gradient: that of
    p / p would be 0.
    """
    return kept / kept.detach().sum(-1, keepdim=True)


def equal_top_k(scores: Tensor, top_k: int) -> Tensor:
    """1 / top_k at the top_k largest scores of each row, 0 elsewhere, [B, E] -> [B, E]."""
    indices = scores.topk(top_k, dim=-1).indices
    return scores.new_zeros(scores.shape).scatter(-1, indices, 1 / top_k)


def check_top_k(top_k: int, num_experts: int) -> None:
    """Refuse to select more experts than there are, or none."""
    if not 1 <= top_k <= num_experts:
        raise ValueError(f"router.top_k must be in 1..num_experts = 1..{num_experts}, got {top_k}")


def resolve_normalize(normalize: Normalize, top_k: int, num_experts: int) -> bool:
    """Whether the selected weights are divided by their sum; refuses the setting under which a gate
    cannot learn.
    """
    check_top_k(top_k, num_experts)
    if normalize not in ("auto", True, False):
        raise ValueError(f"router.normalize must be auto, true or false, got {normalize!r}")
    if normalize == "auto":  # as Switch (k = 1) and Mixtral (k = 2) do
        return top_k > 1
    if normalize and top_k == 1 and num_experts > 1:
        raise ValueError(
            "router.normalize=true with router.top_k=1 makes every weight exactly 1, so that the "
            "gate gets no gradient and never learns: use router.normalize=false or auto"
        )
    return bool(normalize)


def row_sum_of_top_k(normalize: bool, top_k: int, num_experts: int) -> RowSum:
    """What the weights of an image sum to when the top_k of its probabilities are kept."""
    return "one" if normalize or top_k == num_experts else "at most one"
