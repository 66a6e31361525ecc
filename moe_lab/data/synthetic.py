"""Images generated from random prototypes, for tests and for first steps without data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from moe_lab.data.sources import ImageSets, Source

MEAN_STRENGTH = 0.03  # what a linear model can use
SIGNED_STRENGTH = 0.3  # averages to zero within a class, so only a non-linear model can use it


class SyntheticSource(Source):
    """Smooth class patterns plus noise: a weak pattern in every image, a strong one of random sign.

    The strong pattern has mean zero within its class, so a linear model cannot use it.
    """

    def __init__(
        self,
        num_train: int = 2000,
        num_test: int = 500,
        shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        noise: float = 0.2,
        prototype_seed: int = 0,
    ) -> None:
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape must be [channels, height, width], all >= 1, got {shape}")
        if num_classes < 1:
            raise ValueError(f"num_classes must be >= 1, got {num_classes}")
        if min(num_train, num_test) < num_classes:
            raise ValueError(
                f"num_train and num_test must be >= num_classes ({num_classes}), "
                f"got {num_train} and {num_test}"
            )
        if noise < 0:
            raise ValueError(f"noise must be >= 0, got {noise}")
        if prototype_seed < 0:
            raise ValueError(f"prototype_seed must be >= 0, got {prototype_seed}")
        self.num_train, self.num_test, self.num_classes = num_train, num_test, num_classes
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.noise, self.prototype_seed = noise, prototype_seed

    def load(self) -> ImageSets:
        generator = torch.Generator().manual_seed(self.prototype_seed)
        means, signed = self._patterns(generator), self._patterns(generator)
        labels = torch.arange(self.num_train + self.num_test) % self.num_classes
        signs = torch.randint(0, 2, (len(labels), 1, 1, 1), generator=generator) * 2.0 - 1
        noise = torch.randn(len(labels), *self.shape, generator=generator) * self.noise
        pixels = 0.5 + MEAN_STRENGTH * means[labels] + SIGNED_STRENGTH * signs * signed[labels]
        images = ((pixels + noise).clamp(0, 1) * 255).round().to(torch.uint8)
        return ImageSets(
            images[: self.num_train],
            labels[: self.num_train],
            images[self.num_train :],
            labels[self.num_train :],
            tuple(str(label) for label in range(self.num_classes)),
            "synthetic",
            f"random prototypes with noise {self.noise:g}, seed {self.prototype_seed}",
        )

    def _patterns(self, generator: torch.Generator) -> Tensor:
        """Low-frequency patterns with unit spread, [C, channels, height, width]."""
        channels, height, width = self.shape
        coarse = torch.randn(
            self.num_classes, channels, min(height, 7), min(width, 7), generator=generator
        )
        return interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
