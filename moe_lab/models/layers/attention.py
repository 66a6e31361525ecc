"""Self-attention between the tokens of an image (Vaswani et al. 2017, section 3.2)."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn


@final
class SelfAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V in `num_heads` heads. [B, tokens, D] -> [B, tokens, D]"""

    def __init__(self, features: int, num_heads: int) -> None:
        super().__init__()
        if features % num_heads:
            raise ValueError(
                f"model.num_heads must divide the width of a token, {features}, got {num_heads}"
            )
        self.num_heads = num_heads
        self.queries_keys_values = nn.Linear(features, 3 * features)
        self.out = nn.Linear(features, features)

    def forward(self, tokens: Tensor) -> Tensor:
        heads = self.queries_keys_values(tokens).unflatten(-1, (3, self.num_heads, -1))
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)  # [B, heads, tokens, d] each
        # Written out: FlopCounterMode does not see the fused kernel on the CPU, and an image has
        # too few tokens for it to matter. Queries are scaled, not scores: fewer numbers.
        scores = (queries * queries.shape[-1] ** -0.5) @ keys.mT
        mixed = scores.softmax(-1).to(values.dtype) @ values  # [B, heads, tokens, d]
        attended: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return attended
