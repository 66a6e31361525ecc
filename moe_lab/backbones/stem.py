"""The first convolution of a network whose body is routed."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Stem(nn.Module):
    """3x3 convolution, batch norm and ReLU: images -> maps [B, out_features, height, width]."""

    gives_maps = True

    def __init__(self, in_shape: Sequence[int], out_features: int) -> None:
        super().__init__()
        self.out_features = out_features
        self.layers = nn.Sequential(
            nn.Conv2d(in_shape[0], out_features, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_features),
            nn.ReLU(inplace=True),
        )

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.layers(images)
        return maps
