"""A fast convolutional network behind a whitening layer (Jordan 2024, arXiv 2404.00498)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.networks.backbones.sizes import check_size


class Whitening(nn.Module):
    """A fixed 2x2 convolution with uncorrelated outputs: images [B, channels, h, w] ->
    [B, 8 * channels, h - 1, w - 1].

    Its filters are the eigenvectors of the patches' covariance divided by the square root of their
    eigenvalues, and their negatives. They are estimated from the images of the first training
    batch, without labels, and stored with the weights; before that they are random. The paper takes
    5,000 images.
    """

    filters: Tensor  # [8 * channels, channels, 2, 2]
    is_whitened: Tensor  # [] bool

    def __init__(self, channels: int, floor: float = 5e-4) -> None:
        super().__init__()
        self.floor = floor
        half = torch.randn(4 * channels, channels, 2, 2) / (4 * channels) ** 0.5
        self.register_buffer("filters", torch.cat([half, -half]))
        self.register_buffer("is_whitened", torch.tensor(False))
        self.bias = nn.Parameter(torch.zeros(len(self.filters)))
        # A Python flag beside the stored one, reading which would wait for the GPU at every step.
        self.is_ready = False
        self.register_load_state_dict_post_hook(_look_again)

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Take the filters from the 2x2 patches of these images [B, channels, h, w]."""
        patches = functional.unfold(images.detach().float(), 2).transpose(1, 2).flatten(0, 1)
        patches = patches - patches.mean(0)
        # float64 on the CPU: small eigenvalues decide about the largest filters.
        covariance = (patches.mT @ patches / len(patches)).double().cpu()
        values, vectors = torch.linalg.eigh(covariance)
        # eigh sorts in ascending order; here the largest come first. The floor keeps directions
        # without variance, as in blank images, from becoming filters of infinite length.
        half = (vectors / (values.clamp(min=0) + self.floor).sqrt()).mT.flip(0)
        half = half.reshape(-1, *self.filters.shape[1:])
        self.filters.copy_(torch.cat([half, -half]))
        self.is_whitened.fill_(True)
        self.is_ready = True

    def forward(self, images: Tensor) -> Tensor:
        if self.training and not self.is_ready:
            with torch.autocast(images.device.type, enabled=False):  # no rounded covariance
                self.whiten(images)
        return functional.conv2d(images, self.filters, self.bias)


def _look_again(module: Any, incompatible_keys: object) -> None:
    """Set the Python flag from the stored one, after weights were loaded."""
    module.is_ready = bool(module.is_whitened)


class Airbench(nn.Module):
    """Whitening, then groups of two 3x3 convolutions with GELU, the first of each pooled 2x2, and a
    maximum over what is left: images -> [B, out_features].

    The last group has `out_features` channels; those before are listed.
    """

    def __init__(
        self, in_shape: Sequence[int], channels: int | Sequence[int], out_features: int
    ) -> None:
        super().__init__()
        before = [channels] if isinstance(channels, int) else list(channels)
        widths = [8 * in_shape[0], *before, out_features]
        check_size("airbench", in_shape, 2 ** len(widths) + 1)
        layers: list[nn.Module] = [Whitening(in_shape[0]), nn.GELU()]
        for inputs, width in pairwise(widths):
            layers += [starting_as_identity(inputs, width), nn.MaxPool2d(2), shifted_norm(width)]
            layers += [nn.GELU(), starting_as_identity(width, width), shifted_norm(width)]
            layers += [nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.out_features = out_features

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.layers(images)
        # Adaptive pooling has no deterministic backward on CUDA.
        return maps.amax((2, 3))


def starting_as_identity(in_channels: int, channels: int) -> nn.Conv2d:
    """A 3x3 convolution that is initialised to copy its inputs to its first outputs."""
    convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    nn.init.dirac_(convolution.weight.data[:in_channels])
    return convolution


def shifted_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm that learns a shift and no gain."""
    norm = nn.BatchNorm2d(channels)
    norm.weight.requires_grad_(False)
    return norm
