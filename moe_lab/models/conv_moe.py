"""A convolutional network whose blocks have routed experts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

from torch import Tensor, nn
from torch.nn import functional

from moe_lab.models.base import Model, check_maps
from moe_lab.models.layers import (
    ConvExperts,
    MixedKernels,
    Routed,
    RoutedLayer,
    RoutedMaps,
    as_output,
)
from moe_lab.outputs import LayeredOutput, Output
from moe_lab.routers import Router


class ConvMoEBlock(nn.Module):
    """A convolution for all images, routed experts, 2x2 pooling. [B, in, h, w] -> [B, D, h/2, w/2]

    1. normed = batch norm of a 3x3 convolution; maps = relu(normed)           [B, D, h, w]
    2. the router reads the means of normed over the image, scaled to a root
       mean square of 1                                                        [B, D]
    3. maps + the mixture of the selected experts' maps, pooled                [B, D, h/2, w/2]
    """

    def __init__(self, in_channels: int, channels: int, mixture: RoutedLayer) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.mixture = mixture

    def forward(self, maps: Tensor) -> tuple[Tensor, Routed]:
        normed: Tensor = self.norm(self.convolution(maps))
        # Before the ReLU, where means lie on both sides of 0: features that are all positive give
        # every image the same offset, and a fresh gate sends most to two or three experts. Means
        # over many pixels are small, beside which the biases of a gate would be such an offset.
        # In float32: a mean over many bfloat16 pixels loses what differs between images.
        means = normed.float().mean((2, 3))  # [B, D]
        features = functional.rms_norm(means, means.shape[-1:])  # [B, D]
        routed: Routed = self.mixture(normed.relu(), features)
        return functional.max_pool2d(normed.relu() + routed.outputs, 2), routed


class ConvMoE(Model):
    """Stem -> blocks, each with its own router and experts -> LayeredOutput.

    A linear layer reads the mean over the last maps. Each block halves height and width:
    [B, channels, height, width] -> [B, D, h, w] -> ... -> [B, C].
    """

    output_type: ClassVar[type[Output]] = LayeredOutput

    def __init__(
        self,
        backbone: nn.Module,
        mixtures: Sequence[RoutedLayer],
        num_classes: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_maps(backbone, wanted=True)
        height, width = cast(tuple[int, int], backbone.map_size)
        most = min(height, width).bit_length() - 1  # floor(log2): how often it can be halved
        if not 1 <= len(mixtures) <= most:
            raise ValueError(
                f"model.channels must name 1..{most} blocks for {height}x{width} maps, since each "
                f"halves them; got {len(mixtures)}"
            )
        self.backbone = backbone
        widths = [cast(int, backbone.out_features)]
        widths += [mixture.experts.out_features for mixture in mixtures]
        triples = zip(widths, widths[1:], mixtures, strict=False)
        self.blocks = nn.ModuleList([ConvMoEBlock(*triple) for triple in triples])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], num_classes)

    def lacks(self) -> Collection[str]:
        # An expert inside a network gives maps, which are no prediction of its own.
        return ("expert_log_probs", "features")

    def routed_layers(self) -> Mapping[str, nn.Module]:
        blocks = [block for block in self.blocks if isinstance(block, ConvMoEBlock)]
        return {f"block_{index}": block.mixture for index, block in enumerate(blocks)}

    def forward(self, images: Tensor, *, every_expert: bool = False) -> LayeredOutput:
        maps = self.backbone(images)  # [B, D, h, w]
        layers: dict[str, Routed] = {}
        for index, block in enumerate(self.blocks):
            maps, layers[f"block_{index}"] = block(maps)
        logits = self.head(self.dropout(maps.mean((2, 3))))  # [B, C]
        return as_output(logits.float().log_softmax(-1), layers)


def conv_moe(
    backbone: nn.Module,
    routers: Sequence[Router],
    channels: int | Sequence[int],
    num_experts: int,
    mixing: Literal["outputs", "kernels"] = "outputs",
    **sizes: Any,
) -> ConvMoE:
    """A `ConvMoE` with a block of 3x3 convolutions as experts for each of `channels`."""
    widths = [channels] if isinstance(channels, int) else list(channels)
    if mixing not in ("outputs", "kernels"):
        raise ValueError(f"model.mixing must be outputs or kernels, got {mixing!r}")
    layer: type[RoutedLayer] = RoutedMaps if mixing == "outputs" else MixedKernels
    pairs = zip(routers, widths, strict=True)
    mixtures = [layer(router, ConvExperts(num_experts, width)) for router, width in pairs]
    return ConvMoE(backbone, mixtures, **sizes)
