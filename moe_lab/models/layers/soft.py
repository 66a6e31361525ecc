"""Soft slots: experts process averages of an image's own tokens (Puigcerver et al. 2024, arXiv
2308.00951, equations 1 to 3).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertBank
from moe_lab.models.layers.routed_layer import Routed
from moe_lab.outputs import Routing


@final
class SoftTokens(nn.Module):
    """Each expert processes `slots` averages of an image's tokens, each token takes an average of
    all outputs. [B, tokens, D] -> [B, tokens, D]

    Nothing is selected and nothing dropped: every expert is computed, on `slots` rows per image.
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
        # Equations 1 and 2: the same scores, normalised over tokens and over slots.
        dispatch, combine = scores.softmax(1), scores.softmax(2)  # [B, tokens, E * slots]
        inputs = torch.einsum("btd,bts->bsd", tokens.float(), dispatch)  # [B, E * slots, D]
        slot_outputs = apply_to_slots(self.experts, inputs, self.slots)  # [B, E * slots, D]
        outputs = torch.einsum("bsd,bts->btd", slot_outputs, combine)
        routing = soft_routing(scores, combine, self.experts.num_experts)
        return Routed(outputs, routing, routing)


def slot_scores(tokens: Tensor, slot_vectors: Tensor, scale: Tensor) -> Tensor:
    """Normalised tokens times normalised slot vectors: [B, tokens, D], [D, S] -> [B, tokens, S]"""
    # float32 and normalised (section 2.3): otherwise softmax saturates as D grows.
    with torch.autocast(tokens.device.type, enabled=False):
        directions = functional.normalize(slot_vectors, dim=0)
        scores: Tensor = functional.normalize(tokens.float(), dim=-1) @ (scale * directions)
        return scores


def apply_to_slots(experts: ExpertBank, inputs: Tensor, slots: int) -> Tensor:
    """Each slot by its own expert: [B, E * slots, D] -> [B, E * slots, out]."""
    num_images, num_slots, _ = inputs.shape
    owner = torch.arange(num_slots, device=inputs.device) // slots  # [E * slots]
    weights = functional.one_hot(owner, experts.num_experts).float()
    # A plan as for routed images, with slots for images: any bank of experts then works here.
    plan = Plan.from_weights(weights.repeat(num_images, 1))
    outputs = experts(inputs.flatten(0, 1), plan).float()
    # A plan of all pairs has others than each slot's own, with weight 0.
    outputs = plan.mix(outputs) if plan.is_dense else plan.combine(outputs)
    return outputs.unflatten(0, (num_images, num_slots))


def soft_routing(scores: Tensor, combine: Tensor, num_experts: int) -> Routing:
    """How much of an image's output comes from each expert: the mean over tokens, [B, E]."""
    # Weights are summed over an expert's slots, so that rows sum to 1; scores are averaged.
    weights = combine.mean(1).unflatten(1, (num_experts, -1)).sum(2)
    logits = scores.mean(1).unflatten(1, (num_experts, -1)).mean(2)
    return Routing(logits, weights, weights)
