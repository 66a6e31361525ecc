"""Pixels as features."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn


class Flatten(nn.Module):
    """[B, channels, height, width] -> [B, D], D = channels * height * width."""

    def __init__(self, in_shape: Sequence[int], out_features: int) -> None:
        super().__init__()
        if math.prod(in_shape) != out_features:
            raise ValueError(
                f"backbone.out_features must be {math.prod(in_shape)} for images of shape "
                f"{list(in_shape)}, got {out_features}"
            )
        self.out_features = out_features

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)
