"""The 18-layer residual network of torchvision (He et al. 2016), with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torchvision import models

from moe_lab.networks.backbones.sizes import check_size


class ResNet18(nn.Module):
    """torchvision's resnet18 without its last layer: images -> [B, 512].

    stem=small starts with a 3x3 convolution without pooling, so that a 32x32 image ends as 4x4
    maps; stem=imagenet with the 7x7 convolution and pooling, which leave 1x1. No weights are
    downloaded.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_features: int = 512,
        stem: Literal["small", "imagenet"] = "small",
    ) -> None:
        super().__init__()
        if stem not in ("small", "imagenet"):
            raise ValueError(f"backbone.stem must be small or imagenet, got {stem!r}")
        if out_features != 512:
            raise ValueError(f"backbone.out_features must be 512, got {out_features}")
        check_size("resnet18", in_shape, 16 if stem == "small" else 32)
        self.network = models.resnet18(weights=None)
        size, stride, padding = (3, 1, 1) if stem == "small" else (7, 2, 3)
        self.network.conv1 = nn.Conv2d(in_shape[0], 64, size, stride, padding, bias=False)
        # As torchvision draws the layer that this one replaces.
        nn.init.kaiming_normal_(self.network.conv1.weight, mode="fan_out", nonlinearity="relu")
        if stem == "small":
            self.network.maxpool = nn.Identity()
        self.network.fc = nn.Identity()
        self.out_features = out_features

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(images)
        return features
