"""The forms in which images are taken, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from moe_lab.data.pixels import PixelReader, UnknownPixels
from moe_lab.errors import UserError

GREY = PixelReader(1, 4, 5)
COLOUR = PixelReader(3, 4, 5)
ANY_SIZE = PixelReader(1)
SHADES = np.arange(20).reshape(4, 5) * 12  # 0 to 228
COLOURS = np.stack([SHADES, 255 - SHADES, SHADES // 2])  # [3, height, width]


def unit(pixels: Any) -> Tensor:
    """The only division by 255 that there may be, in float32."""
    return torch.tensor(np.asarray(pixels).astype(np.float32) / np.float32(255))


IMAGES: list[Any] = [
    torch.tensor(SHADES, dtype=torch.uint8),
    torch.tensor(SHADES),
    torch.tensor(SHADES, dtype=torch.int16),
    torch.tensor(SHADES, dtype=torch.uint16),
    unit(SHADES),
    unit(SHADES).double(),
    SHADES.astype(np.uint8),
    SHADES.astype(np.uint16),
    SHADES.astype(np.uint64),
    SHADES.astype(">i4"),
    SHADES.astype(np.float32) / 255,
    (SHADES / 255).astype(np.float64),
    SHADES.astype(np.uint8)[::-1][::-1],
    np.asfortranarray(SHADES),
    SHADES.tolist(),
    (SHADES / 255).tolist(),
    Image.fromarray(SHADES.astype(np.uint8)),
]
FORMS: dict[str, Callable[[Any], Any]] = {
    "alone": lambda image: image,
    "channel": lambda image: [image] if isinstance(image, list) else image[None],
    "batch": lambda image: [[image]] if isinstance(image, list) else image[None, None],
    "list": lambda image: [image],
}
WITHOUT_AXES = ("alone", "list")


def name_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{type(value).__name__}-{getattr(value, 'dtype', '')}"


@pytest.mark.parametrize(
    ("images", "form"),
    [
        (images, form)
        for images in IMAGES
        for form in (WITHOUT_AXES if isinstance(images, Image.Image) else FORMS)
    ],
    ids=name_of,
)
def test_every_form_of_an_image_gives_the_same_pixels(images: Any, form: str) -> None:
    found = GREY.read(FORMS[form](images))
    assert found.shape == (1, 1, 4, 5)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0, 0], unit(SHADES), rtol=0, atol=1e-7)


def test_bytes_and_floats_of_them_are_the_same_to_the_last_bit() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    reader = PixelReader(1, 16, 16)
    assert torch.equal(reader.read(every), reader.read(every.float() / 255))
    assert torch.equal(reader.read(every).flatten(), every.flatten().float() / 255)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats_are_taken_as_they_are(dtype: torch.dtype) -> None:
    images = unit(SHADES).to(dtype)
    assert torch.equal(GREY.read(images)[0, 0], images.float())


@pytest.mark.parametrize("mask", [SHADES > 100, torch.tensor(SHADES > 100)])
def test_booleans_are_black_and_white(mask: Any) -> None:
    assert torch.equal(GREY.read(mask)[0, 0], torch.tensor(SHADES > 100).float())


def test_dark_images_of_whole_numbers_are_not_taken_for_floats() -> None:
    assert GREY.read(np.ones((4, 5), np.int64)).unique().tolist() == [pytest.approx(1 / 255)]
    assert GREY.read(np.ones((4, 5))).unique().tolist() == [1.0]


def test_a_list_may_mix_forms() -> None:
    found = GREY.read([SHADES, unit(SHADES)[None], Image.fromarray(SHADES.astype(np.uint8))])
    assert found.shape == (3, 1, 4, 5)
    torch.testing.assert_close(found, unit(SHADES).expand(3, 1, 4, 5))


def test_pictures_are_read_as_those_of_a_folder() -> None:
    pixels = np.ascontiguousarray(COLOURS.transpose(1, 2, 0).astype(np.uint8))
    torch.testing.assert_close(COLOUR.read(Image.fromarray(pixels))[0], unit(COLOURS))
    grey = COLOUR.read(Image.fromarray(SHADES.astype(np.uint8)))
    torch.testing.assert_close(grey, unit(SHADES).expand(1, 3, 4, 5))
    clear = Image.new("LA", (5, 4), (0, 0))
    assert GREY.read(clear).unique().tolist() == [1.0]
    deep = Image.fromarray(np.full((4, 5), 51 * 257, np.uint16))
    assert GREY.read(deep).unique().tolist() == [pytest.approx(0.2)]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.ascontiguousarray(SHADES.T[::-1].astype(np.uint8)))
    turned.info["exif"] = exif.tobytes()
    torch.testing.assert_close(GREY.read(turned)[0, 0], unit(SHADES))


def test_pictures_are_resized_as_those_of_the_training_were() -> None:
    reader = PixelReader(1, 2, 2, image_size=2)
    assert reader.read(Image.new("L", (6, 4), 51)).unique().tolist() == [pytest.approx(0.2)]
    assert reader.read(Image.new("L", (6, 4), 51)).shape == (1, 1, 2, 2)


def test_white_is_that_of_the_training() -> None:
    dim = Image.fromarray(np.full((4, 5), 819, np.uint16))
    assert PixelReader(1, 4, 5, white=4095).read(dim).unique().tolist() == [pytest.approx(0.2)]


def test_any_size_is_taken_where_none_is_known() -> None:
    assert ANY_SIZE.read(SHADES).shape == (1, 1, 4, 5)
    assert PixelReader(3).read(COLOURS).shape == (1, 3, 4, 5)


@pytest.mark.parametrize(
    ("reader", "images", "said"),
    [
        (GREY, SHADES.astype(np.float32), "float32 from 0 to 228"),
        (GREY, unit(SHADES) - 0.5, "float32 from -0.5 to"),
        (GREY, unit(SHADES) * 2 - 1, "from -1 to"),
        (GREY, np.full((4, 5), np.nan), "from nan to nan"),
        (GREY, np.full((4, 5), np.inf), "inf"),
        (GREY, torch.tensor(SHADES) * 2, "int64 from 0 to 456"),
        (GREY, SHADES.astype(np.uint16) * 257, "from 0 to 58596"),
        (GREY, -SHADES, "from -228 to 0"),
        (GREY, np.array(SHADES, dtype=complex), "complex128"),
        (GREY, np.array(SHADES, dtype=object), "object"),
        (GREY, np.array(SHADES, dtype=str), "<U"),
        (GREY, torch.zeros(4, 5, dtype=torch.complex64), "complex64"),
        (GREY, torch.zeros(0, 1, 4, 5), r"no pixels in an array of shape \[0, 1, 4, 5\]"),
        (GREY, np.zeros((0,)), "no pixels"),
        (GREY, [], "list of images is empty"),
        (GREY, [[]], "no pixels"),
        (GREY, [[1, 2], [3]], "rows of the list differ"),
        (GREY, SHADES.T, r"shape \[5, 4\]"),
        (GREY, SHADES.flatten(), r"shape \[20\]"),
        (GREY, COLOURS, r"shape \[3, 4, 5\]: several grey images .*images\[:, None\]"),
        (GREY, SHADES[..., None], r"channels come last; move them with images\.transpose\(2, 0, 1"),
        (GREY, Image.fromarray(SHADES.T.astype(np.uint8).copy()), r"shape \[5, 4\]"),
        (GREY, Image.new("RGB", (5, 4)), r"shape \[3, 4, 5\]"),
        (COLOUR, SHADES, r"shape \[4, 5\]"),
        (COLOUR, COLOURS[:2], r"shape \[2, 4, 5\]"),
        (COLOUR, COLOURS.transpose(1, 2, 0), "channels come last"),
        (COLOUR, COLOURS.transpose(1, 2, 0)[None], r"permute\(0, 3, 1, 2\)"),
        (COLOUR, np.zeros((1, 1, 3, 4, 5), np.uint8), r"shape \[1, 1, 3, 4, 5\]"),
        (COLOUR, [COLOURS, COLOURS * 2], "image 1: the pixels are int64 from"),
        (COLOUR, [np.stack([COLOURS, COLOURS])], "image 0 of the list is a batch of 2"),
        (ANY_SIZE, [SHADES, SHADES.T], "differ in shape"),
        (GREY, "cat.png", "a str"),
        (GREY, ["cat.png"], "image 0: the images are a str"),
        (GREY, None, "a NoneType"),
        (GREY, 3, "an int"),
        (GREY, Image.new("I", (5, 4)), "nothing says which one is white"),
        (GREY, Image.fromarray(np.full((4, 5), 7.0, np.float32)), "samples are from 7 to 7"),
    ],
)
def test_anything_else_is_refused_with_what_was_expected(
    reader: PixelReader, images: Any, said: str
) -> None:
    with pytest.raises(UnknownPixels, match=said) as caught:
        reader.read(images)
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.expected


def test_what_was_expected_names_shapes_and_ranges() -> None:
    with pytest.raises(UnknownPixels) as caught:
        GREY.read(None)  # type: ignore[arg-type]
    assert caught.value.expected == (
        "[4, 5], [1, 4, 5] or [images, 1, 4, 5], whole numbers from 0 to 255 or floats from 0 to "
        "1, of torch or numpy; a PIL picture; or a list"
    )
