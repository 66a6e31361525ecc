"""A small convolutional network in front of a mixture."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class ConvBlock(nn.Module):
    """3x3 convolution and batch norm, then ReLU and 2x2 pooling: [B, in, h, w] -> [B, out, h / 2,
    w / 2].
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def convolve(self, maps: Tensor) -> Tensor:
        """The first half, which ends before the ReLU."""
        # Split in two, because channel modulation acts between batch norm and ReLU.
        normed: Tensor = self.norm(self.convolution(maps))
        return normed

    def activate(self, maps: Tensor) -> Tensor:
        """The second half."""
        return functional.max_pool2d(functional.relu(maps), 2)

    def forward(self, maps: Tensor) -> Tensor:
        return self.activate(self.convolve(maps))


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
        pairs = zip([depth, *widths], widths, strict=False)
        self.blocks = nn.ModuleList([ConvBlock(before, after) for before, after in pairs])
        pixels = (height >> len(widths)) * (width >> len(widths))
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(widths[-1] * pixels, out_features), nn.ReLU(inplace=True)
        )
        self.out_features = out_features

    def stages(self) -> list[ConvBlock]:
        """The blocks, for a caller that does something between them."""
        return [block for block in self.blocks if isinstance(block, ConvBlock)]

    def forward(self, images: Tensor) -> Tensor:
        maps = images
        for block in self.blocks:
            maps = block(maps)
        features: Tensor = self.head(maps)
        return features
