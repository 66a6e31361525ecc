"""Patches as tokens (Dosovitskiy et al. 2021, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Patch(nn.Module):
    """Cuts images into squares and embeds each, plus its position: images -> [B, tokens, D]."""

    def __init__(self, in_shape: Sequence[int], patch_size: int, out_features: int) -> None:
        super().__init__()
        channels, height, width = in_shape
        if height % patch_size or width % patch_size:
            raise ValueError(
                f"backbone.patch_size must divide the image's {height}x{width}, got {patch_size}"
            )
        self.out_features = out_features
        self.tokens = (height // patch_size) * (width // patch_size)
        # A convolution with a stride of its own size is one linear layer on every patch.
        self.embed = nn.Conv2d(channels, out_features, patch_size, stride=patch_size)
        self.positions = nn.Parameter(0.02 * torch.randn(self.tokens, out_features))

    def forward(self, images: Tensor) -> Tensor:
        patches = self.embed(images).flatten(2).transpose(1, 2)  # [B, tokens, D]
        tokens: Tensor = patches + self.positions
        return tokens
