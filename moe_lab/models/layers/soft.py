"""Soft slots: experts answer for averages of an image's own tokens (Puigcerver et al. 2024, arXiv
2308.00951, equations 1 to 3).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertBank
from moe_lab.models.layers.routed import Routed
from moe_lab.outputs import Routing


@final
class SoftTokens(nn.Module):
    """Each expert answers for `slots` averages of an image's tokens, each token takes an average of
    all answers. [B, tokens, D] -> [B, tokens, D]

    Nothing is chosen and nothing dropped: every expert is computed, on `slots` rows an image.
    """

    def __init__(self, experts: ExpertBank, slots: int = 1) -> None:
        super().__init__()
        if slots < 1:
            raise ValueError(f"model.slots must be at least 1, got {slots}")
        self.experts, self.slots = experts, slots
        width = experts.in_features
        self.slot_vectors = nn.Parameter(
            torch.randn(width, experts.num_experts * slots) / width**0.5
        )
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, tokens: Tensor) -> Routed:
        scores = slot_scores(tokens, self.slot_vectors, self.scale)
        dispatch, combine = scores.softmax(1), scores.softmax(2)  # over tokens, over slots
        inputs = torch.einsum("btd,bts->bsd", tokens.float(), dispatch)
        answers = torch.einsum(
            "bsd,bts->btd", answer_slots(self.experts, inputs, self.slots), combine
        )
        routing = soft_routing(scores, combine, self.experts.num_experts)
        return Routed(answers, routing, routing)


def slot_scores(tokens: Tensor, slot_vectors: Tensor, scale: Tensor) -> Tensor:
    """Normalised tokens times normalised slot vectors: [B, tokens, D], [D, S] -> [B, tokens, S]"""
    # float32 and normalised (section 2.3): otherwise softmax saturates as D grows.
    with torch.autocast(tokens.device.type, enabled=False):
        directions = functional.normalize(slot_vectors, dim=0)
        scores: Tensor = functional.normalize(tokens.float(), dim=-1) @ (scale * directions)
        return scores


def answer_slots(experts: ExpertBank, inputs: Tensor, slots: int) -> Tensor:
    """Each slot by its own expert: [B, E * slots, D] -> [B, E * slots, out]."""
    num_images, num_slots, _ = inputs.shape
    owner = torch.arange(num_slots, device=inputs.device) // slots
    weights = functional.one_hot(owner, experts.num_experts).float()
    plan = Plan.from_weights(weights.repeat(num_images, 1))
    answers = plan.combine(experts(inputs.flatten(0, 1), plan).float())
    return answers.unflatten(0, (num_images, num_slots))


def soft_routing(scores: Tensor, combine: Tensor, num_experts: int) -> Routing:
    """How much of an image's answer comes from each expert: the mean over tokens, [B, E]."""
    weights = combine.mean(1).unflatten(1, (num_experts, -1)).sum(2)
    logits = scores.mean(1).unflatten(1, (num_experts, -1)).mean(2)
    return Routing(logits, weights, weights)
