"""Images made worse in five strengths: noise, blur and contrast of Hendrycks & Dietterich 2019
(arXiv 1903.12261), and a hidden square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import conv2d, pad

from moe_lab.data.augment import cutout
from moe_lab.data.resident import seeded
from moe_lab.data.sources import Part

CORRUPTION_STREAM = 9  # of the draws that follow from a seed
CHUNK = 2048  # images in float32 at a time
NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviations of ImageNet-C, pixels in 0..1
BLUR = (0.4, 0.6, 0.7, 0.8, 1.0)  # standard deviations of CIFAR-10-C, in pixels
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)  # factors of CIFAR-10-C
OCCLUSION = (0.2, 0.3, 0.4, 0.5, 0.6)  # sides of the square, as shares of the shorter side


@dataclass(frozen=True)
class Corruption:
    """Corrupts the test images or, with split=both, those of training and validation as well.

    noise: + N(0, s^2) for every number; blur: a Gaussian of standard deviation s, edges repeated;
    contrast: mean of the channel + s * (pixel - mean); occlusion: a black square of side s at a
    random place. Draws follow from `seed` and are the same in every epoch; s is that of `strength`
    1 to 5 in this file.
    """

    kind: str
    strength: int
    split: str = "test"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"corrupt must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.strength not in range(1, 6):
            raise ValueError(f"corrupt_strength must be in 1..5, got {self.strength!r}")
        if self.split not in ("test", "both"):
            raise ValueError(f"corrupt_split must be test or both, got {self.split!r}")

    def applied(self, parts: Mapping[str, Part]) -> dict[str, Part]:
        """The parts by name, with the images of those that are meant corrupted."""
        found = dict(parts)
        for place, (name, (images, *known)) in enumerate(parts.items()):
            if name == "test" or self.split == "both":
                found[name] = (self.corrupted(images, place), *known)
        return found

    def corrupted(self, images: Tensor, stream: int = 0) -> Tensor:
        """[B, channels, height, width] uint8 -> same."""
        if not len(images):
            return images
        generator = seeded(self.seed, CORRUPTION_STREAM, stream)
        change, strengths = KINDS[self.kind]
        size = strengths[self.strength - 1]
        chunks = [change(chunk, size, generator) for chunk in images.split(CHUNK)]
        return torch.cat(chunks)

    @property
    def note(self) -> str:
        """A sentence for whoever reads the result."""
        where = "the test images are" if self.split == "test" else "all images are"
        return f"{where} corrupted: {self.kind}, strength {self.strength} of 5"


def add_noise(images: Tensor, size: float, generator: Generator) -> Tensor:
    """Gaussian noise of standard deviation `size`, where pixels are in 0..1."""
    return as_bytes(images.float() + 255 * size * torch.randn(images.shape, generator=generator))


def blur(images: Tensor, size: float, generator: Generator) -> Tensor:
    """Gaussian of standard deviation `size` in pixels, cut off at 4 of them."""
    radius = int(4 * size + 0.5)
    offsets = torch.arange(-radius, radius + 1).float()
    kernel = (-0.5 * (offsets / size).square()).exp()
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    planes = images.float().flatten(0, 1).unsqueeze(1)
    planes = pad(planes, (radius, radius, radius, radius), mode="replicate")
    planes = conv2d(conv2d(planes, kernel.unsqueeze(-1)), kernel.unsqueeze(-2))
    return as_bytes(planes.view(images.shape))


def lower_contrast(images: Tensor, size: float, generator: Generator) -> Tensor:
    """Pixels drawn to the mean of their image and channel, to `size` of their distance from it."""
    mean = images.float().mean((2, 3), keepdim=True)
    return as_bytes(mean + size * (images.float() - mean))


def occlude(images: Tensor, size: float, generator: Generator) -> Tensor:
    """A black square whose side is the share `size` of the shorter side of the image."""
    return cutout(images, max(1, round(size * min(images.shape[2:]))), generator)


def as_bytes(pixels: Tensor) -> Tensor:
    return pixels.round().clamp(0, 255).to(torch.uint8)


Change = Callable[[Tensor, float, Generator], Tensor]
KINDS: dict[str, tuple[Change, tuple[float, ...]]] = {
    "noise": (add_noise, NOISE),
    "blur": (blur, BLUR),
    "contrast": (lower_contrast, CONTRAST),
    "occlusion": (occlude, OCCLUSION),
}
