"""The first convolution of a network whose body is routed."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Stem(nn.Module):
    """3x3 convolution, batch norm and ReLU: images -> maps [B, out_features, height / stride,
    width / stride], rounded up.
    """

    gives_maps = True  # models that read one row per image refuse it

    def __init__(self, in_shape: Sequence[int], out_features: int, stride: int = 1) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f"backbone.stride must be at least 1, got {stride}")
        self.out_features = out_features
        self.map_size = tuple(-(-size // stride) for size in in_shape[1:])
        self.layers = nn.Sequential(
            nn.Conv2d(in_shape[0], out_features, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_features),
            nn.ReLU(inplace=True),
        )

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.layers(images)
        return maps
