"""Soft mixtures of experts (Puigcerver et al. 2024, arXiv 2308.00951, equations 1 to 3)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from moe_lab.experts import ExpertBank
from moe_lab.models.base import Model, check_expert_count, check_tokens
from moe_lab.models.layers.soft import apply_to_slots, slot_scores, soft_routing
from moe_lab.outputs import MixtureOutput, Output


class SoftMoE(Model):
    """Each expert processes `slots` soft averages of an image's own tokens: images ->
    MixtureOutput.

    1. scores = normalised tokens times normalised slot vectors     [B, tokens, E * slots]
    2. slot inputs = tokens averaged by softmax over tokens         [B, E * slots, D]
    3. slot outputs = each expert on its own slots                  [B, E * slots, C]
    4. token outputs = slot outputs averaged by softmax over slots  [B, tokens, C]
    5. log_probs = log_softmax of the mean over tokens              [B, C]

    Averages run within an image only: across the batch they would leak one image into another.
    """

    output_type: ClassVar[type[Output]] = MixtureOutput

    def __init__(
        self, backbone: nn.Module, experts: ExpertBank, num_experts: int, slots: int = 2
    ) -> None:
        super().__init__()
        check_tokens(backbone, wanted=True)
        check_expert_count(experts, num_experts)
        if slots < 1:
            raise ValueError(f"model.slots must be at least 1, got {slots}")
        self.backbone, self.experts, self.slots = backbone, experts, slots
        width = experts.in_features
        self.slot_vectors = nn.Parameter(torch.randn(width, num_experts * slots) / width**0.5)
        self.scale = nn.Parameter(torch.ones(()))  # section 2.3: cosines alone are a soft softmax

    def forward(self, images: Tensor, *, every_expert: bool = False) -> MixtureOutput:
        tokens = self.backbone(images)  # [B, tokens, D]
        scores = slot_scores(tokens, self.slot_vectors, self.scale)
        # Equations 1 and 2: the same scores, normalised over tokens and over slots.
        dispatch, combine = scores.softmax(1), scores.softmax(2)
        inputs = torch.einsum("btd,bts->bsd", tokens.float(), dispatch)  # [B, E * slots, D]
        outputs = apply_to_slots(self.experts, inputs, self.slots)  # [B, E * slots, C]
        logits = torch.einsum("bsc,bts->btc", outputs, combine).mean(1)  # [B, C]
        routing = soft_routing(scores, combine, self.experts.num_experts)
        shape = (images.shape[0], self.experts.num_experts, self.slots, -1)
        alone = outputs.view(shape).mean(2).log_softmax(-1)  # [B, E, C]
        return MixtureOutput(logits.log_softmax(-1), routing, alone, tokens)
