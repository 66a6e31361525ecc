"""Pictures of any size and mode as the images that a model reads."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from moe_lab.data.decoding import FOURTEEN_BITS, TWELVE_BITS
from moe_lab.data.image_file import Plain


@dataclass
class Changes:
    """How many pictures were changed in which way, with one that was."""

    counts: dict[str, int] = field(default_factory=dict)
    such_as: dict[str, str] = field(default_factory=dict)
    peaks: list[int] = field(default_factory=lambda: [0, 0])  # pictures of 16 bits, largest sample

    def note(self, what: str, name: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        self.such_as.setdefault(what, name)

    def add(self, other: Changes) -> None:
        for what, count in other.counts.items():
            self.counts[what] = self.counts.get(what, 0) + count
            self.such_as.setdefault(what, other.such_as[what])
        self.peaks = [self.peaks[0] + other.peaks[0], max(self.peaks[1], other.peaks[1])]

    def sentences(self, total: int) -> list[str]:
        """What a person should know, one sentence for each kind of change."""
        said = [
            f"{count:,} of {total:,} images {what}, such as {self.such_as[what]}"
            for what, count in self.counts.items()
        ]
        number, peak = self.peaks
        if number and peak <= FOURTEEN_BITS:
            bits, top = (12, TWELVE_BITS) if peak <= TWELVE_BITS else (14, FOURTEEN_BITS)
            said.append(
                f"no sample of the {number:,} 16-bit pictures is above {peak:,} of 65,535: if they "
                f"are of {bits} bits, they were read much too dark, and white={top} mends that"
            )
        return said


@dataclass(frozen=True)
class Fitting:
    """The shape of a model's images, and how others are brought to it."""

    channels: int
    height: int
    width: int

    def picture(self, name: str, picture: Plain, changes: Changes) -> NDArray[np.uint8]:
        """A picture read from a file -> [channels, height, width]."""
        if picture.is_transparent:
            changes.note("are partly transparent and were put on white", name)
        if picture.has_frames:
            changes.note("have several frames or pages, of which the first was read", name)
        if picture.peak is not None:
            changes.peaks = [changes.peaks[0] + 1, max(changes.peaks[1], picture.peak)]
        return self.pixels(name, picture.image, changes)

    def pixels(self, name: str, image: Image.Image, changes: Changes) -> NDArray[np.uint8]:
        """A picture of mode L or RGB and any size -> [channels, height, width].

        The shorter side is scaled and the centre cropped, as `dataset.image_size` does in training.
        """
        size = (self.width, self.height)
        if self.channels == 1 and image.mode != "L":
            changes.note("have colours, which a model of grey images does not see", name)
            image = image.convert("L")
        if image.size != size:
            changes.note(
                f"were resized to the model's {self.height} x {self.width} pixels "
                "(shorter side scaled, centre cropped)",
                name,
            )
            image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
        if pixels.ndim == 3:
            return pixels.transpose(2, 0, 1)
        return np.broadcast_to(pixels, (self.channels, *pixels.shape))
