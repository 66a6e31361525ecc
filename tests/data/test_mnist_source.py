from __future__ import annotations

import gzip
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from moe_lab.data import ImageData, MNISTSource
from moe_lab.data.mnist import FILES
from moe_lab.errors import DataError, DataUnavailable

REPOSITORY = Path(__file__).parents[2]
PLACES = [
    os.environ.get("MOE_LAB_DATA"),
    REPOSITORY / "data",
    REPOSITORY.parent / "shared" / "data",
]
REAL = next((Path(p) for p in PLACES if p and (Path(p) / "MNIST/raw" / FILES[0]).is_file()), None)
needs_real_files = pytest.mark.skipif(REAL is None, reason="the real MNIST files are not here")
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES


def idx(values: np.ndarray) -> bytes:
    header = (0x0800 + values.ndim).to_bytes(4, "big")
    return header + b"".join(size.to_bytes(4, "big") for size in values.shape) + values.tobytes()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Four small, sound files: 20 training and 10 test images of 4 x 4."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for images, labels, count in ((*FILES[:2], 20), (*FILES[2:], 10)):
        pixels = random.integers(0, 256, (count, 4, 4), dtype=np.uint8)
        (folder / images).write_bytes(idx(pixels))
        (folder / labels).write_bytes(idx(np.arange(count, dtype=np.uint8) % 10))
    return folder


def loaded(raw: Path, verify: bool = False):
    return MNISTSource(raw.parents[1], download=False, verify=verify).load()


def test_sound_files_are_read_as_they_are(raw: Path):
    sets = loaded(raw)
    assert sets.train_images.shape == (20, 1, 4, 4)
    assert sets.test_labels.tolist() == list(range(10))
    assert sets.train_images.flatten()[0] == (raw / TRAIN_IMAGES).read_bytes()[16]
    assert sets.class_names == tuple("0123456789")


def test_gzipped_files_are_read_and_nothing_is_written(raw: Path):
    plain = loaded(raw)
    for name in FILES:
        (raw / f"{name}.gz").write_bytes(gzip.compress((raw / name).read_bytes()))
        (raw / name).unlink()
    zipped = loaded(raw)
    assert torch.equal(zipped.train_images, plain.train_images)
    assert sorted(path.name for path in raw.iterdir()) == sorted(f"{name}.gz" for name in FILES)


def cut_short(raw: Path) -> str:
    path = raw / TEST_IMAGES
    path.write_bytes(path.read_bytes()[:-5])
    return r"171 bytes[\s\S]*176 bytes"


def wrong_magic(raw: Path) -> str:
    path = raw / TEST_IMAGES
    path.write_bytes(b"\x00\x00\x0d\x03" + path.read_bytes()[4:])
    return r"magic number 3331[\s\S]*magic number 2051"


def only_a_header(raw: Path) -> str:
    path = raw / TEST_IMAGES
    path.write_bytes(path.read_bytes()[:6])
    return "6 bytes"


def empty(raw: Path) -> str:
    (raw / TEST_IMAGES).write_bytes(b"")
    return "0 bytes"


def no_images(raw: Path) -> str:
    (raw / TEST_IMAGES).write_bytes(idx(np.zeros((0, 4, 4), np.uint8)))
    return "without any value"


def labels_in_place_of_images(raw: Path) -> str:
    shutil.copy(raw / TEST_LABELS, raw / TEST_IMAGES)
    return "it holds labels"


def web_page(raw: Path) -> str:
    (raw / TEST_IMAGES).write_text("<!DOCTYPE html><html>404</html>")
    return "it is a web page"


def zipped_web_page(raw: Path) -> str:
    (raw / TEST_IMAGES).unlink()
    (raw / f"{TEST_IMAGES}.gz").write_text("<html>please log in</html>")
    return "it is a web page"


def zipped_and_cut_short(raw: Path) -> str:
    content = gzip.compress((raw / TEST_IMAGES).read_bytes())
    (raw / TEST_IMAGES).unlink()
    (raw / f"{TEST_IMAGES}.gz").write_bytes(content[:-20])
    return "a whole gzip file"


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        wrong_magic,
        only_a_header,
        empty,
        no_images,
        labels_in_place_of_images,
        web_page,
        zipped_web_page,
        zipped_and_cut_short,
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(raw: Path, damage):
    said = damage(raw)
    with pytest.raises(DataError, match=f"{TEST_IMAGES}[\\s\\S]*{said}") as caught:
        loaded(raw)
    assert "delete it" in caught.value.todo


def test_no_more_is_unpacked_than_the_header_tells(raw: Path):
    for start in (b"", bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4])):
        bomb = gzip.compress(start + bytes(2**27))  # 130 kB that would fill 128 MiB
        (raw / FILES[0]).unlink(missing_ok=True)
        (raw / f"{FILES[0]}.gz").write_bytes(bomb)
        tracemalloc.start()
        with pytest.raises(DataError, match="unpacks to more than"):
            MNISTSource(raw.parents[1], download=False, verify=False).load()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 2**27


def test_a_label_beyond_nine_is_named_with_its_row(raw: Path):
    (raw / TEST_LABELS).write_bytes(idx(np.array([0, 1, 2, 11, 4, 5, 6, 7, 8, 9], np.uint8)))
    with pytest.raises(DataError, match=f"{TEST_LABELS}: label 11 at row 3"):
        loaded(raw)


def test_files_of_different_parts_are_noticed(raw: Path):
    (raw / TRAIN_LABELS).rename(raw / "spare")
    (raw / TEST_LABELS).rename(raw / TRAIN_LABELS)
    (raw / "spare").rename(raw / TEST_LABELS)
    with pytest.raises(DataError, match=f"{TRAIN_LABELS}: 10 labels") as caught:
        loaded(raw)
    assert caught.value.expected == f"20, as in {TRAIN_IMAGES}"


def test_a_missing_file_says_where_it_belongs(raw: Path):
    (raw / TEST_LABELS).unlink()
    with pytest.raises(DataUnavailable, match=f"lacks {TEST_LABELS}") as caught:
        loaded(raw)
    assert "dataset.download=true" in caught.value.todo
    assert "mnist_5k" in caught.value.todo
    assert str(raw) in caught.value.todo


def test_files_that_are_not_the_official_ones_fail_the_checksum(raw: Path):
    with pytest.raises(DataError, match=f"{TRAIN_IMAGES}: sha256") as caught:
        loaded(raw, verify=True)
    assert "dataset.verify=false" in caught.value.todo


def test_an_unknown_variant_is_refused():
    with pytest.raises(
        ValueError, match="variant must be one of mnist, fashion_mnist, got 'emnist'"
    ):
        MNISTSource("data", variant="emnist")


@pytest.fixture
def real_copy(tmp_path: Path) -> Path:
    assert REAL is not None
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).symlink_to(REAL.resolve() / "MNIST" / "raw" / name)
    return folder


@needs_real_files
def test_real_mnist_has_its_known_sizes_and_statistics():
    assert REAL is not None
    data = ImageData(MNISTSource(REAL, download=False), val_fraction=0)
    assert data.sizes == {"train": 60000, "val": 0, "test": 10000}
    assert data.mean.item() == pytest.approx(0.1307, abs=5e-5)
    assert data.std.item() == pytest.approx(0.3081, abs=5e-5)
    assert "sha256 verified" in data.copy


@needs_real_files
def test_one_flipped_pixel_of_real_mnist_is_noticed(real_copy: Path):
    content = bytearray((real_copy / TEST_IMAGES).read_bytes())
    content[5000] ^= 1
    (real_copy / TEST_IMAGES).unlink()
    (real_copy / TEST_IMAGES).write_bytes(content)
    with pytest.raises(DataError, match=f"{TEST_IMAGES}: sha256"):
        loaded(real_copy, verify=True)
    assert len(loaded(real_copy, verify=False).test_images) == 10000


@needs_real_files
def test_the_real_test_files_in_place_of_the_training_files_are_recognised(real_copy: Path):
    (real_copy / TRAIN_IMAGES).unlink()
    (real_copy / TRAIN_IMAGES).symlink_to((real_copy / TEST_IMAGES).resolve())
    with pytest.raises(DataError, match=f"{TRAIN_IMAGES}: it is MNIST's {TEST_IMAGES}"):
        loaded(real_copy, verify=True)
