"""Wide residual networks (Zagoruyko & Komodakis 2016, arXiv 1605.07146)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from moe_lab.networks.backbones.sizes import check_size


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU, beside a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.first_norm = nn.BatchNorm2d(in_channels)
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        )
        self.shortcut: nn.Module | None = None
        if in_channels != channels or stride != 1:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        # Shared by body and shortcut where the width changes; else the shortcut is the plain input.
        active = torch.relu(self.first_norm(maps))
        passed = maps if self.shortcut is None else self.shortcut(active)
        summed: Tensor = passed + self.body(active)
        return summed


class WideResNet(nn.Module):
    """WRN-depth-widen: three stages of pre-activation blocks with 16, 32 and 64 times `widen`
    channels: images -> [B, 64 * widen].

    `depth` counts all convolutions, the three of shortcuts included: 6 n + 4 for n blocks per
    stage.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_features: int,
        depth: int = 16,
        widen: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"backbone.depth must be 10, 16, 22, ... (6 n + 4), got {depth}")
        if out_features != 64 * widen:
            raise ValueError(f"backbone.out_features must be {64 * widen}, got {out_features}")
        check_size("wide_resnet", in_shape, 8)
        layers: list[nn.Module] = [nn.Conv2d(in_shape[0], 16, 3, padding=1, bias=False)]
        before = 16
        for base, stride in ((16, 1), (32, 2), (64, 2)):
            for block in range((depth - 4) // 6):
                own_stride = stride if block == 0 else 1
                layers.append(WideBlock(before, base * widen, own_stride, dropout))
                before = base * widen
        layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.out_features = out_features
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features
