"""A small convolutional network in front of a mixture."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Conv(nn.Module):
    """Blocks of 3x3 convolution, batch norm, ReLU and 2x2 pooling, then a linear layer: images ->
    [B, D].
    """

    def __init__(
        self, in_shape: Sequence[int], channels: int | Sequence[int], out_features: int
    ) -> None:
        super().__init__()
        widths = [channels] if isinstance(channels, int) else list(channels)
        depth, height, width = in_shape
        smallest = min(height, width) >> len(widths)
        if smallest < 1 or not widths:
            raise ValueError(
                f"backbone.channels must name 1..{min(height, width).bit_length() - 1} blocks for "
                f"{height}x{width} images, since each halves them; got {widths}"
            )
        layers: list[nn.Module] = []
        for before, after in zip([depth, *widths], widths, strict=False):
            layers += [
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
        pixels = (height >> len(widths)) * (width >> len(widths))
        head = [nn.Flatten(), nn.Linear(widths[-1] * pixels, out_features), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, *head)
        self.out_features = out_features

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features
