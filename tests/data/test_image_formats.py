"""What the pixels of each kind of picture become, alone and among ordinary pictures."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from moe_lab.data import ImageFolderSource
from moe_lab.errors import DataError

HEIGHT, WIDTH = 6, 8
Pixels = NDArray[np.uint8]  # [height, width] or [height, width, 3]
Write = Callable[[Path], Pixels | None]  # writes a file; returns what is to be read, None: refused


def grey() -> Pixels:
    """Every pixel another value, so that any turn or mirror image is seen."""
    return (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 5).astype(np.uint8)


def colour() -> Pixels:
    return np.stack([grey(), 255 - grey(), grey() // 2], -1)


def rounded_division(numerator: NDArray[np.int64], denominator: int) -> Pixels:
    """The nearest whole number, with integers alone."""
    return ((2 * numerator + denominator) // (2 * denominator)).astype(np.uint8)


def seen_on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Alpha compositing (Porter and Duff 1984) over 255, rounded."""
    opaque = alpha.astype(np.int64)
    opaque = opaque if pixels.ndim == 2 else opaque[..., None]
    return rounded_division(pixels * opaque + 255 * (255 - opaque), 255)


def one_bit(path: Path) -> Pixels:
    bits = grey() % 2 == 1
    Image.fromarray(bits).save(path.with_suffix(".png"))
    return np.where(bits, 255, 0).astype(np.uint8)


def eight_bits(path: Path) -> Pixels:
    Image.fromarray(grey()).save(path.with_suffix(".bmp"))
    return grey()


def deep() -> NDArray[np.uint16]:
    return (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 1390 + 77).astype(np.uint16)


def chunk(name: bytes, content: bytes) -> bytes:
    sum_ = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + sum_


def png(kind: int, bits: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG file from its bytes: `kind` is 0 for grey, 2 for colour, 4 for grey with alpha."""
    size = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, kind, 0, 0, 0)
    length = len(rows) // HEIGHT
    lines = b"".join(b"\0" + rows[i * length : (i + 1) * length] for i in range(HEIGHT))
    body = chunk(b"IHDR", size) + extra + chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def sixteen_bit_png(path: Path) -> Pixels:
    path.with_suffix(".png").write_bytes(png(0, 16, deep().astype(">u2").tobytes()))
    return rounded_division(deep().astype(np.int64), 257)


def sixteen_bit_png_with_transparent_sample(path: Path) -> Pixels:
    key = chunk(b"tRNS", struct.pack(">H", int(deep()[2, 3])))
    path.with_suffix(".png").write_bytes(png(0, 16, deep().astype(">u2").tobytes(), key))
    expected = rounded_division(deep().astype(np.int64), 257)
    expected[2, 3] = 255
    return expected


def four_bit_png_with_transparent_sample(path: Path) -> Pixels:
    nibbles = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 16
    packed = (nibbles[:, ::2] * 16 + nibbles[:, 1::2]).astype(np.uint8)
    key = chunk(b"tRNS", struct.pack(">H", 3))
    path.with_suffix(".png").write_bytes(png(0, 4, packed.tobytes(), key))
    return np.where(nibbles == 3, 255, nibbles * 17).astype(np.uint8)


def sixteen_bit_colour_png(path: Path) -> Pixels:
    samples = np.stack([deep(), 65535 - deep(), deep() // 2], -1)
    path.with_suffix(".png").write_bytes(png(2, 16, samples.astype(">u2").tobytes()))
    return (samples >> 8).astype(np.uint8)  # Pillow hands over the upper byte


def tiff(
    path: Path, samples: bytes, bits: int, kind: int = 1, photometric: int = 1, order: str = "<"
) -> None:
    """A TIFF file from its bytes; `kind` 1 is unsigned, 2 signed, 3 float."""
    tags = [
        (256, WIDTH), (257, HEIGHT), (258, bits), (259, 1), (262, photometric), (273, 8),
        (277, 1), (278, HEIGHT), (279, len(samples)), (339, kind),
    ]  # fmt: skip
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(samples))
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, 3, 1) + struct.pack(f"{order}H", value) + b"\0\0"
        for tag, value in tags
    )
    table = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)
    path.with_suffix(".tif").write_bytes(head + samples + table)


def sixteen_bit_tiff(path: Path) -> Pixels:
    tiff(path, deep().astype("<u2").tobytes(), 16)
    return rounded_division(deep().astype(np.int64), 257)


def sixteen_bit_tiff_of_the_other_byte_order(path: Path) -> Pixels:
    tiff(path, deep().astype(">u2").tobytes(), 16, order=">")
    return rounded_division(deep().astype(np.int64), 257)


def sixteen_bit_tiff_whose_zero_is_white(path: Path) -> Pixels:
    tiff(path, deep().astype("<u2").tobytes(), 16, photometric=0)
    return rounded_division(65535 - deep().astype(np.int64), 257)


def twelve_bit_tiff(path: Path) -> Pixels:
    samples = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 87).astype(np.int64)
    first, second = samples[:, ::2], samples[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1)
    tiff(path, packed.astype(np.uint8).tobytes(), 12)
    return rounded_division(samples * 255, 4095)


def twelve_bits_in_sixteen(path: Path) -> None:
    samples = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 87).astype(">u2")
    path.with_suffix(".png").write_bytes(png(0, 16, samples.tobytes()))


def twelve_bits_in_sixteen_bit_colours(path: Path) -> None:
    samples = np.stack([deep() >> 4, deep() >> 5, deep() >> 6], -1).astype(">u2")
    path.with_suffix(".png").write_bytes(png(2, 16, samples.tobytes()))


def signed_tiff(path: Path) -> None:
    tiff(path, (deep() // 3).astype("<i2").tobytes(), 16, kind=2)


def signed_byte_tiff(path: Path) -> None:
    tiff(path, (grey() // 2).astype(np.int8).tobytes(), 8, kind=2)


def thirty_two_bit_tiff(path: Path) -> None:
    tiff(path, deep().astype("<u4").tobytes(), 32)


def float_tiff(path: Path) -> Pixels:
    tiff(path, (grey() / 255).astype("<f4").tobytes(), 32, kind=3)
    return grey()


def float_tiff_whose_zero_is_white(path: Path) -> Pixels:
    tiff(path, (grey() / 255).astype("<f4").tobytes(), 32, kind=3, photometric=0)
    return 255 - grey()


def float_tiff_up_to_255(path: Path) -> None:
    tiff(path, grey().astype("<f4").tobytes(), 32, kind=3)


def float_tiff_with_nan(path: Path) -> None:
    samples = (grey() / 255).astype("<f4")
    samples[1, 1] = np.nan
    tiff(path, samples.tobytes(), 32, kind=3)


def portable_float_map(path: Path) -> Pixels:
    rows = (grey() / 255).astype("<f4")[::-1].tobytes()  # from the last row to the first
    path.with_suffix(".pfm").write_bytes(f"Pf\n{WIDTH} {HEIGHT}\n-1.0\n".encode() + rows)
    return grey()


def portable_grey_map_of_ten_bits(path: Path) -> Pixels:
    samples = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 21).astype(np.int64)
    head = f"P5\n{WIDTH} {HEIGHT}\n1023\n".encode()
    path.with_suffix(".pgm").write_bytes(head + samples.astype(">u2").tobytes())
    return rounded_division(samples * 255, 1023)


def portable_pixel_map(path: Path) -> Pixels:
    head = f"P6 {WIDTH} {HEIGHT} 255\n".encode()
    path.with_suffix(".ppm").write_bytes(head + colour().tobytes())
    return colour()


def palette(path: Path) -> Pixels:
    picture = Image.fromarray(grey() % 7, "P")
    shades = np.array([[i * 30, 255 - i * 30, i] for i in range(7)], np.uint8)
    picture.putpalette(shades.flatten().tolist())
    picture.save(path.with_suffix(".png"))
    return shades[grey() % 7]


def palette_with_transparent_colours(path: Path) -> Pixels:
    picture = Image.fromarray(grey() % 7, "P")
    shades = np.array([[i * 30, 255 - i * 30, i] for i in range(7)], np.uint8)
    picture.putpalette(shades.flatten().tolist())
    picture.save(path.with_suffix(".png"), transparency=bytes([255, 0, 100, 255, 255, 255, 255]))
    alpha = np.array([255, 0, 100, 255, 255, 255, 255], np.uint8)[grey() % 7]
    return seen_on_white(shades[grey() % 7], alpha)


def grey_with_alpha(path: Path) -> Pixels:
    alpha = 255 - grey()
    Image.fromarray(np.stack([grey(), alpha], -1), "LA").save(path.with_suffix(".png"))
    return seen_on_white(grey(), alpha)


def colour_with_alpha(path: Path) -> Pixels:
    alpha = 255 - grey()
    picture = Image.fromarray(np.concatenate([colour(), alpha[..., None]], -1), "RGBA")
    picture.save(path.with_suffix(".png"))
    return seen_on_white(colour(), alpha)


def colour_with_transparent_colour(path: Path) -> Pixels:
    key = tuple(colour()[3, 4].tolist())
    Image.fromarray(colour()).save(path.with_suffix(".png"), transparency=key)
    expected = colour()
    expected[3, 4] = 255
    return expected


def opaque_alpha(path: Path) -> Pixels:
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    picture = Image.fromarray(np.concatenate([colour(), alpha], -1))
    picture.save(path.with_suffix(".webp"), lossless=True)
    return colour()


def printing_inks(path: Path) -> Pixels:
    inks = np.stack([255 - grey(), grey(), grey() // 2, np.zeros_like(grey())], -1)
    Image.fromarray(inks, "CMYK").save(path.with_suffix(".tiff"))
    return 255 - inks[..., :3]  # with no black, each ink takes its own share of white


def luminance_and_chrominance(path: Path) -> Pixels:
    neutral = np.full_like(grey(), 128)
    picture = Image.fromarray(np.stack([grey(), neutral, neutral], -1), "YCbCr")
    picture.save(path.with_suffix(".tif"))
    return np.repeat(grey()[..., None], 3, -1)  # without chrominance all is grey


def lightness_and_two_colours(path: Path) -> Pixels:
    black_and_white = np.where(grey() % 2 == 1, 255, 0).astype(np.uint8)
    neutral = np.zeros_like(grey())
    picture = Image.fromarray(np.stack([black_and_white, neutral, neutral], -1), "LAB")
    picture.save(path.with_suffix(".tif"))
    return np.repeat(black_and_white[..., None], 3, -1)


def gif(path: Path) -> Pixels:
    frames = [Image.fromarray(grey()), Image.fromarray(255 - grey())]
    frames[0].save(path.with_suffix(".gif"), save_all=True, append_images=frames[1:])
    return np.repeat(grey()[..., None], 3, -1)  # a palette counts as colour


def webp(path: Path) -> Pixels:
    Image.fromarray(colour()).save(path.with_suffix(".webp"), lossless=True)
    return colour()


def jfif(path: Path) -> Pixels:
    flat = np.full((HEIGHT, WIDTH), 77, np.uint8)  # of which JPEG keeps every pixel
    Image.fromarray(flat).save(path.with_suffix(".jfif"), "JPEG")
    return flat


def jpeg_2000_of_16_bits(path: Path) -> Pixels:
    Image.fromarray(deep()).save(path.with_suffix(".jp2"), irreversible=False)
    return rounded_division(deep().astype(np.int64), 257)


# How a camera stored the upright picture, by the numbers 1 to 8 of the Exif standard: from the
# sides that its row 0 and its column 0 are said to be.
STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],  # top, right
    3: lambda upright: upright[::-1, ::-1],  # bottom, right
    4: lambda upright: upright[::-1],  # bottom, left
    5: lambda upright: upright.swapaxes(0, 1),  # left, top
    6: lambda upright: upright.swapaxes(0, 1)[::-1],  # right, top
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],  # left, bottom
}


def turned(number: int, suffix: str, upright: Callable[[], Pixels] = colour) -> Write:
    def write(path: Path) -> Pixels:
        exif = Image.Exif()
        exif[0x0112] = number
        picture = Image.fromarray(np.ascontiguousarray(STORED[number](upright())))
        picture.save(path.with_suffix(suffix), exif=exif, lossless=True)
        return upright()

    write.__name__ = f"exif_{number}_{suffix[1:]}"
    return write


def turned_sixteen_bits(path: Path) -> Pixels:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(deep().T[::-1])
    Image.fromarray(stored).save(path.with_suffix(".png"), exif=exif)
    return rounded_division(deep().astype(np.int64), 257)


KINDS: list[Write] = [
    one_bit, eight_bits, sixteen_bit_png, sixteen_bit_png_with_transparent_sample,
    four_bit_png_with_transparent_sample, sixteen_bit_colour_png, sixteen_bit_tiff,
    sixteen_bit_tiff_of_the_other_byte_order, sixteen_bit_tiff_whose_zero_is_white,
    twelve_bit_tiff, twelve_bits_in_sixteen, twelve_bits_in_sixteen_bit_colours, signed_tiff,
    signed_byte_tiff, thirty_two_bit_tiff, float_tiff, float_tiff_whose_zero_is_white,
    float_tiff_up_to_255, float_tiff_with_nan, portable_float_map, portable_grey_map_of_ten_bits,
    portable_pixel_map, palette, palette_with_transparent_colours, grey_with_alpha,
    colour_with_alpha, colour_with_transparent_colour, opaque_alpha, printing_inks,
    luminance_and_chrominance, lightness_and_two_colours, gif, webp, jfif, jpeg_2000_of_16_bits,
    *(turned(number, ".png") for number in STORED), *(turned(n, ".tif") for n in STORED),
    turned(6, ".webp"), turned(8, ".png", grey), turned_sixteen_bits,
]  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("mixed", [False, True], ids=["alone", "mixed"])
@pytest.mark.parametrize("write", KINDS, ids=lambda write: write.__name__)
def test_pictures_become_what_they_show_or_are_refused_by_name(
    root: Path, write: Write, mixed: bool
) -> None:
    expected = write(root / "train" / "a" / "picture")
    (path,) = (root / "train" / "a").iterdir()
    for folder in (root / "train" / "b", root / "test" / "a", root / "test" / "b"):
        if mixed:
            Image.fromarray(colour()[:, ::-1].copy()).save(folder / "ordinary.png")
        else:
            write(folder / "picture")
    if expected is None:
        with pytest.raises(DataError, match=rf"{path.name}: ") as caught:
            ImageFolderSource(root).load()
        assert caught.value.expected
        assert caught.value.todo
        return
    sets = ImageFolderSource(root).load()
    grey_alone = expected.ndim == 2 and not mixed
    assert sets.train_images.shape == (2, 1 if grey_alone else 3, HEIGHT, WIDTH)
    planes = expected[..., None] if expected.ndim == 2 else expected
    found = sets.train_images[0].permute(1, 2, 0).numpy().astype(int)
    off = np.abs(found - np.broadcast_to(planes, found.shape)).max()
    assert off <= (1 if write is lightness_and_two_colours else 0)  # its colours are approximate
    if mixed:
        ordinary = sets.train_images[1].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(ordinary, colour()[:, ::-1])
