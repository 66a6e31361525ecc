"""Residual blocks with Squeeze-and-Excitation (Hu, Shen & Sun 2018, arXiv 1709.01507)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from moe_lab.networks.backbones.sizes import check_size, per_stage
from moe_lab.networks.squeeze_excitation import SqueezeExcitation


class SEBlock(nn.Module):
    """relu(shortcut + squeeze-and-excitation of norm(conv(relu(norm(conv)))))."""

    def __init__(self, in_channels: int, channels: int, reduction: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            SqueezeExcitation(channels, reduction),
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.shortcut(maps) + self.body(maps))


class SEResNet(nn.Module):
    """Stages of residual blocks, 2x2 pooling between them, a mean over the last: images ->
    [B, out_features].

    The last stage has `out_features` channels; the others are listed. Each block has two
    convolutions.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        channels: int | Sequence[int],
        out_features: int,
        blocks: int | Sequence[int] = 1,
        reduction: int = 16,
    ) -> None:
        super().__init__()
        before = [channels] if isinstance(channels, int) else list(channels)
        widths = [*before, out_features]
        counts = per_stage("blocks", blocks, len(widths))
        check_size("se_resnet", in_shape, 2 ** len(widths))
        layers: list[nn.Module] = [
            nn.Conv2d(in_shape[0], widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        stages = zip(pairwise([widths[0], *widths]), counts, strict=True)
        for index, ((wide_before, width), count) in enumerate(stages):
            if index > 0:
                layers.append(nn.MaxPool2d(2))
            inputs = [wide_before, *[width] * (count - 1)]
            layers += [SEBlock(own, width, reduction) for own in inputs]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.out_features = out_features

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features
