"""One picture as bytes: which way up it is, what its numbers mean and what shows through it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from moe_lab.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

GREY = ("1", "L", "LA", "La")
HAS_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
FULL_RANGE = 65535  # white in 16 bits
# What of these formats has 16 bits fills them; others give physical quantities as they are.
FILLS_16_BITS = ("PNG", "TIFF", "JPEG2000", "PPM", None)  # None: not from a file
PNG_SCALES = {"L;2": 85, "L;4": 17}  # Pillow scales such samples, but not their transparent one
ORIENTATION = 274  # tag of Exif data
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of a TIFF file
WHITE_IS_ZERO, SIGNED = 0, 2
Found = TypeVar("Found")


@dataclass(frozen=True)
class Picture:
    """The pixels of a picture, and what was done to get them."""

    pixels: NDArray[np.uint8]  # [height, width] if grey, else [height, width, 3]
    is_transparent: bool = False  # in at least one pixel, so that white shows through
    has_frames: bool = False  # of which this is the first
    peak: int | None = None  # largest sample of 16 bits, where nothing says that white is 65535


@dataclass(frozen=True)
class Plain:
    """The same as a picture of Pillow, of mode L or RGB, for whoever goes on with it there."""

    image: Image
    is_transparent: bool = False
    has_frames: bool = False
    peak: int | None = None


def read_picture(
    path: str | os.PathLike[str], image_size: int | None = None, white: int | None = None
) -> Picture:
    """The picture in a file; DataError names a file that cannot be read or understood."""
    return from_file(path, lambda opened: convert(opened, image_size, white))


def read_plain(path: str | os.PathLike[str], white: int | None = None) -> Plain:
    """As `read_picture`, in the file's own size."""
    return from_file(path, lambda opened: plain(opened, white))


def from_file(path: str | os.PathLike[str], read: Callable[[Image], Found]) -> Found:
    """What is read from an opened picture; DataError names the file."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            return read(opened)
    except DataError as error:
        raise DataError(f"{path}: {error.wrong}", error.expected, error.todo) from None
    except MemoryError:
        raise
    except Image.DecompressionBombError:
        raise too_large(str(path)) from None
    except PermissionError as error:
        raise DataError(
            f"{path}: {error.strerror}", "a file that can be read", "change its permissions"
        ) from None
    except Exception as error:  # PIL has no one class of error for a corrupt file
        expected = "a whole picture of a kind that Pillow reads"
        raise DataError(f"{path}: {error}", expected, "replace or delete it") from error


def convert(opened: Image, image_size: int | None = None, white: int | None = None) -> Picture:
    """The pixels of an opened picture, upright, in 8 bits and on white.

    Samples of 16 bits become round(sample / 257), those of a TIFF file of 12 bits
    round(sample * 255 / 4095), floats from 0 to 1 round(255 * sample). `white` says which sample is
    255 instead. Of 16-bit colours Pillow hands over the upper byte. `image_size` scales the shorter
    side to it and crops the centre.
    """
    from PIL import Image, ImageOps

    found = plain(opened, white)
    image = found.image
    if image_size is not None:
        image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)
    return Picture(np.asarray(image), found.is_transparent, found.has_frames, found.peak)


def plain(opened: Image, white: int | None = None) -> Plain:
    """An opened picture upright, in 8 bits and on white, as `convert` describes."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and opened.width * opened.height > limit:
        raise too_large(f"{opened.height:,} x {opened.width:,} pixels")
    samples = Samples.of(opened)
    has_frames = bool(getattr(opened, "is_animated", False))
    upright = turned_upright(opened)
    if upright.mode[0] not in "IF" and not may_be_transparent(upright):
        # Most pictures, which need not become numbers and a picture again.
        image = upright.convert("L" if upright.mode in GREY else "RGB")
        return Plain(image, False, has_frames, samples.peak(image, white))
    if upright.mode[0] in "IF":
        pixels, alpha, peak = samples.scaled(upright, white)
    else:
        pixels, alpha = with_alpha(upright, samples)
        peak = samples.peak(Image.fromarray(pixels), white)
    is_transparent = alpha is not None and bool((alpha < 255).any())
    if is_transparent:
        pixels = on_white(pixels, alpha)
    return Plain(Image.fromarray(pixels), is_transparent, has_frames, peak)


def turned_upright(opened: Image) -> Image:
    """Turned and mirrored by its Exif data, which Pillow's function copies without need."""
    from PIL import ImageOps

    opened.load()  # some formats hand over their Exif data only then
    if opened.getexif().get(ORIENTATION, 1) == 1:
        return opened
    return ImageOps.exif_transpose(opened)


def may_be_transparent(picture: Image) -> bool:
    return picture.mode in HAS_ALPHA or picture.info.get("transparency") is not None


@dataclass(frozen=True)
class Samples:
    """What the file of a picture says about its numbers."""

    format: str | None
    rawmode: str  # as they lie in the file, in Pillow's words
    bits: int | None = None
    inverted: bool = False
    signed: bool = False

    @classmethod
    def of(cls, opened: Image) -> Samples:
        """Read before the picture is loaded, which forgets some of it."""
        tiles = getattr(opened, "tile", None) or [None]
        arguments: Any = getattr(tiles[0], "args", tiles[0] and tiles[0][3])
        first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
        tags = getattr(opened, "tag_v2", {})
        return cls(
            opened.format,
            str(first or ""),
            tags.get(BITS_PER_SAMPLE, (None,))[0],
            tags.get(PHOTOMETRIC) == WHITE_IS_ZERO,
            SIGNED in tags.get(SAMPLE_FORMAT, ()),
        )

    def scaled(
        self, picture: Image, white: int | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, int | None]:
        """Samples of more than 8 bits as bytes, their alpha, and the peak of a `Picture`."""
        values = np.asarray(picture).astype(np.float64)
        top, is_certain = self._top(picture.mode, white)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > top:
            raise out_of_range(values, top, white)
        peak = None if is_certain else int(values.max())
        shade = top - values if self.inverted else values
        transparent = picture.info.get("transparency")
        alpha = None
        if isinstance(transparent, int):
            alpha = np.where(values == transparent, 0, 255).astype(np.uint8)
        return np.rint(shade * 255 / top).astype(np.uint8), alpha, peak

    def _top(self, mode: str, white: int | None) -> tuple[int, bool]:
        """The sample that is white, and whether that is certain."""
        if self.bits is not None and 8 < self.bits < 16:
            return 2**self.bits - 1, True
        if mode == "I" and self.format == "PPM":
            return FULL_RANGE, True  # its header says which sample is white, and Pillow scales
        if white is not None:
            return white, True
        if mode == "F":
            return 1, True
        fills = self.format in FILLS_16_BITS
        if fills and (mode != "I" or self.format == "PNG"):
            return FULL_RANGE, False
        kind = f"{self.bits}-bit integers" if self.bits else f"integers of mode {mode}"
        raise DataError(
            f"{'signed ' if self.signed else ''}{kind}, of which nothing says which one is white",
            "a picture whose format has a range",
            "set dataset.white to the sample that is white, or save it in 8 or 16 bits",
        )

    def peak(self, image: Image, white: int | None) -> int | None:
        """The peak of a picture that Pillow has brought to 8 bits itself."""
        if self.signed and self.bits == 8:
            raise DataError(
                "signed 8-bit integers, which Pillow reads as unsigned ones",
                "unsigned samples",
                "save the picture in unsigned 8 or 16 bits",
            )
        if ";16" not in self.rawmode or self.format not in ("PNG", "TIFF"):
            return None
        if white not in (None, FULL_RANGE):
            raise DataError(
                f"16-bit colours, of which only the upper byte is read, and dataset.white={white}",
                "16-bit colours that use their whole range",
                "save the picture in 8 bits",
            )
        return None if white else 256 * int(np.asarray(image).max()) + 255  # at most that


def with_alpha(picture: Image, samples: Samples) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grey or colour, and alpha, of a picture of 8 bits that may be transparent."""
    grey = picture.mode in GREY
    key = picture.info.get("transparency")
    if picture.mode in ("1", "L", "RGB") and key is not None:
        pixels = np.asarray(stripped(picture).convert("L" if grey else "RGB"))
        if samples.rawmode in PNG_SCALES and samples.format == "PNG":
            key = key * PNG_SCALES[samples.rawmode]
        elif ";16" in samples.rawmode and samples.format == "PNG":
            key = [number >> 8 for number in key]
        same = pixels == np.asarray(key)
        return pixels, np.where(same if grey else same.all(-1), 0, 255).astype(np.uint8)
    bands = np.asarray(picture.convert("RGBA" if picture.mode != "La" else "LA"))
    return np.ascontiguousarray(bands[..., 0] if grey else bands[..., :3]), bands[..., -1]


def stripped(picture: Image) -> Image:
    """Without its transparent colour, which Pillow would convert too, or fail to."""
    copy = picture.copy()
    copy.info.pop("transparency")
    return copy


def on_white(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """What is seen of a picture in front of white."""
    assert alpha is not None
    opaque = alpha.astype(np.uint32) if pixels.ndim == 2 else alpha.astype(np.uint32)[..., None]
    return ((pixels * opaque + 255 * (255 - opaque) + 127) // 255).astype(np.uint8)


def out_of_range(values: NDArray[np.float64], top: int, white: int | None) -> DataError:
    found = "NaN or infinite" if not np.isfinite(values).all() else None
    if white:
        todo = "set dataset.white to the largest sample that there can be"
    elif top == 1:
        todo = "scale the picture to 0..1, or set dataset.white to the sample that is white"
    else:
        todo = "save the picture in 8 bits"
    return DataError(
        f"samples are {found or f'from {values.min():g} to {values.max():g}'}",
        f"samples from 0 to {top}" + (f" (dataset.white={white})" if white else ""),
        todo,
    )


def too_large(what: str) -> DataError:
    from PIL import Image

    return DataError(
        f"{what}: too large to be unpacked",
        f"a picture of at most {Image.MAX_IMAGE_PIXELS:,} pixels",
        "make it smaller, or delete it",
    )
