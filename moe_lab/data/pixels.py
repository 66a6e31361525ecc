"""Images in any of the usual forms as pixels from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeAlias, Union

import numpy as np
import torch
from torch import Tensor

from moe_lab.data.image_file import convert
from moe_lab.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

Images: TypeAlias = Union[Tensor, "NDArray[np.generic]", "Image", "Sequence[Images]"]
EXCESS = 1e-6  # by which the arithmetic of a resize may leave 0..1


class UnknownPixels(DataError, ValueError):
    """Images that cannot be told apart from something else, or have no place in a model."""


@dataclass(frozen=True)
class PixelReader:
    """Turns images into what a model was trained on, up to the statistics of its normalisation.

    `channels`, and where they are known `height` and `width`, are those of the model's images;
    `image_size` and `white` are what pictures were read with, and PIL pictures are read so, too.
    """

    channels: int
    height: int | None = None
    width: int | None = None
    image_size: int | None = None
    white: int | None = None

    def read(self, images: Images) -> Tensor:
        """[B, channels, height, width] float32 in 0..1, of one image or several.

        Whole numbers are pixels from 0 to 255, floats from 0 to 1, of torch or numpy; booleans are
        black and white. An array is [height, width], [channels, height, width] or
        [B, channels, height, width]; a list holds images of one of the first two forms, PIL
        pictures, or numbers. Raises UnknownPixels for anything else.
        """
        if isinstance(images, list | tuple):
            return self._read_several(images)
        if isinstance(images, Tensor):
            pixels = self._unit(images)
        elif isinstance(images, np.ndarray):
            pixels = self._unit(as_tensor(images, self))
        elif type(images).__module__.startswith("PIL."):
            return self._read_picture(images)  # type: ignore[arg-type]
        else:
            self.refuse(f"the images are {article(type(images).__name__)}")
        return self._in_batch(pixels)

    def _read_several(self, images: Sequence[Images]) -> Tensor:
        if not images:
            self.refuse("the list of images is empty")
        if isinstance(images[0], list | tuple | int | float):
            try:
                return self.read(np.asarray(images))
            except ValueError as error:
                if isinstance(error, UnknownPixels):
                    raise
                self.refuse("the rows of the list differ in length")
        batches = []
        for place, image in enumerate(images):
            try:
                batch = self.read(image)
            except UnknownPixels as error:
                raise UnknownPixels(f"image {place}: {error.wrong}", error.expected) from None
            if len(batch) != 1:
                self.refuse(f"image {place} of the list is a batch of {len(batch)}")
            batches.append(batch)
        shapes = {tuple(batch.shape[1:]) for batch in batches}
        if len(shapes) > 1:
            self.refuse(f"the images differ in shape: {', '.join(map(str, map(list, shapes)))}")
        return torch.cat(batches)

    def _read_picture(self, picture: Image) -> Tensor:
        try:
            pixels = convert(picture, self.image_size, self.white).pixels
        except DataError as error:
            raise UnknownPixels(error.wrong, error.expected, error.todo) from None
        image = torch.from_numpy(pixels.copy())
        if image.ndim == 3:
            image = image.permute(2, 0, 1)
        elif self.channels == 3:  # as a grey picture among coloured ones is read
            image = image.expand(3, -1, -1)
        return self._in_batch(self._unit(image))

    def _unit(self, images: Tensor) -> Tensor:
        """Any dtype -> float32 in 0..1."""
        if images.numel() == 0:
            self.refuse(f"there are no pixels in an array of shape {list(images.shape)}")
        if images.dtype == torch.bool:
            return images.float()
        if images.is_complex():
            self.refuse(f"the pixels are {str(images.dtype).removeprefix('torch.')}")
        name = str(images.dtype).removeprefix("torch.")
        if images.is_floating_point():
            pixels = images.to(torch.float32)
            self._check_range(pixels, -EXCESS, 1 + EXCESS, name)
            return pixels
        if images.dtype != torch.uint8:
            self._check_range(images.to(torch.int64), 0, 255, name)
        return images.to(torch.float32) / 255

    def _check_range(self, pixels: Tensor, low: float, high: float, name: str) -> None:
        least, most = (float(value) for value in pixels.aminmax())
        # Written so that NaN, which is in no range, is refused as well.
        if not (least >= low and most <= high):
            self.refuse(f"the pixels are {name} from {least:g} to {most:g}")

    def _in_batch(self, images: Tensor) -> Tensor:
        shape = list(images.shape)
        sizes = [self.height or shape[-2], self.width or shape[-1]] if len(shape) > 1 else []
        if shape == sizes and self.channels == 1:
            return images[None, None]
        if shape == [self.channels, *sizes]:
            return images[None]
        if len(shape) == 4 and shape[1:] == [self.channels, *sizes]:
            return images
        hint = ""
        if len(shape) in (3, 4) and shape[-1] == self.channels and self._is_size(shape[-3:-1]):
            hint = f": the channels come last; move them with {moved(len(shape))}"
        elif len(shape) == 3 and self.channels == 1 and self._is_size(shape[1:]):
            hint = ": several grey images have an axis for their channel, images[:, None]"
        self.refuse(f"the images have shape {shape}{hint}")

    def _is_size(self, shape: list[int]) -> bool:
        return shape[0] in (self.height, None) and shape[1] in (self.width, None)

    def refuse(self, wrong: str) -> NoReturn:
        size = f"{self.height or 'height'}, {self.width or 'width'}"
        grey = f"[{size}], " if self.channels == 1 else ""
        raise UnknownPixels(
            wrong,
            f"{grey}[{self.channels}, {size}] or [images, {self.channels}, {size}], whole numbers "
            "from 0 to 255 or floats from 0 to 1, of torch or numpy; a PIL picture; or a list",
        )


def as_tensor(images: NDArray[np.generic], reader: PixelReader) -> Tensor:
    """The same values; types that torch lacks become the next larger ones."""
    if images.dtype.kind not in "buif":
        reader.refuse(f"the pixels are {images.dtype}")
    if images.dtype.kind == "u" and images.dtype.itemsize > 1:
        images = np.minimum(images.astype(np.uint64), 2**62).astype(np.int64)
    elif images.dtype.kind == "f" and images.dtype.itemsize > 8:
        images = images.astype(np.float64)
    native = images.astype(images.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.array(native, order="C"))


def article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def moved(dimensions: int) -> str:
    order = "2, 0, 1" if dimensions == 3 else "0, 3, 1, 2"
    return f"images.transpose({order}) of numpy or images.permute({order}) of torch"
