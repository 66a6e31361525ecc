from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from moe_lab.data import ImageFolderSource, decoding, fingerprint
from moe_lab.data.image_file import Picture
from moe_lab.errors import DataError


def save(path: Path, value: int, size: tuple[int, int] = (5, 4), mode: str = "RGB") -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 255)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes with two training pictures and one test picture each, 4 high and 5 wide."""
    folder = tmp_path / "pets"
    for label, name in enumerate(("cat", "dog")):
        save(folder / "train" / name / "0.png", 10 + label)
        save(folder / "train" / name / "1.bmp", 20 + label)
        save(folder / "test" / name / "0.png", 30 + label)
    (folder / "train" / "cat" / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths decoded so far."""
    paths: list[str] = []
    original = decoding.read_picture

    def counted(path: str, **options: int | None) -> Picture:
        paths.append(path)
        return original(path, **options)

    monkeypatch.setattr(decoding, "read_picture", counted)
    return paths


def test_pictures_become_tensors_with_the_folders_as_classes(root: Path):
    sets = ImageFolderSource(root).load()
    assert sets.train_images.shape == (4, 3, 4, 5)
    assert sets.train_images[:, 0, 0, 0].tolist() == [10, 20, 11, 21]
    assert sets.train_images[:, 2].unique().tolist() == [255]
    assert sets.train_labels.tolist() == [0, 0, 1, 1]
    assert sets.test_images[:, 0, 0, 0].tolist() == [30, 31]
    assert sets.class_names == ("cat", "dog")
    assert sets.name == "pets"
    assert "6 image files" in sets.copy


def test_the_second_load_decodes_nothing(root: Path, decoded: list[str]):
    first = ImageFolderSource(root).load()
    assert len(decoded) == 6
    second = ImageFolderSource(root).load()
    assert len(decoded) == 6
    assert fingerprint(first) == fingerprint(second)
    assert (first.name, first.copy) == (second.name, second.copy)


def test_a_changed_file_or_size_is_decoded_anew(root: Path, decoded: list[str]):
    ImageFolderSource(root).load()
    ImageFolderSource(root, image_size=4).load()
    assert len(decoded) == 12
    save(root / "test" / "dog" / "0.png", 99)
    assert ImageFolderSource(root).load().test_images[1, 0, 0, 0] == 99
    assert len(decoded) == 18


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "other"])
def test_a_damaged_cache_is_rebuilt(root: Path, decoded: list[str], damage: str, capsys):
    sound = fingerprint(ImageFolderSource(root).load())
    (cache,) = (root / ".moe_lab_cache").iterdir()
    content = bytearray(cache.read_bytes())
    if damage == "cut":
        cache.write_bytes(content[:-100])
    elif damage == "flip":
        content[content.index(bytes([10] * 20))] ^= 1  # one pixel of the first picture
        cache.write_bytes(content)
    elif damage == "text":
        cache.write_text("<html>")
    else:
        torch.save({"train_images": torch.zeros(2)}, cache)
    assert fingerprint(ImageFolderSource(root).load()) == sound
    assert len(decoded) == 12
    assert "rebuilding the damaged image cache" in capsys.readouterr().err
    ImageFolderSource(root).load()
    assert len(decoded) == 12


def test_the_cache_goes_where_it_is_told_and_leaves_no_temporary_file(root: Path, tmp_path: Path):
    ImageFolderSource(root, cache_dir=tmp_path / "cache").load()
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".pt"]
    assert not (root / ".moe_lab_cache").exists()


def test_an_unwritable_cache_costs_time_but_no_error(root: Path, tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    sets = ImageFolderSource(root, cache_dir=tmp_path / "file" / "cache").load()
    assert len(sets.train_images) == 4
    assert "not written" in capsys.readouterr().err


def test_grey_stays_one_channel_only_if_every_picture_is_grey(root: Path):
    for path in root.rglob("0.png"):
        save(path, 50, mode="L")
    mixed = ImageFolderSource(root).load()
    assert mixed.train_images.shape == (4, 3, 4, 5)
    assert mixed.train_images[0].unique().tolist() == [50]
    for path in root.rglob("1.bmp"):
        save(path, 60, mode="L")
    grey = ImageFolderSource(root).load()
    assert grey.train_images.shape == (4, 1, 4, 5)
    assert grey.train_images[:, 0, 0, 0].tolist() == [50, 60, 50, 60]


def test_pictures_of_different_sizes_need_an_image_size(root: Path):
    save(root / "train" / "dog" / "1.bmp", 21, size=(8, 6))
    with pytest.raises(DataError, match=r"is 4 x 5, .*1\.bmp is 6 x 8") as caught:
        ImageFolderSource(root).load()
    assert "dataset.image_size" in caught.value.todo
    assert ImageFolderSource(root, image_size=3).load().train_images.shape == (4, 3, 3, 3)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n garbage", None])
def test_a_corrupt_picture_is_named(root: Path, content: bytes | None):
    path = root / "train" / "dog" / "0.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 25] if content is None else content)
    with pytest.raises(DataError, match=r"train/dog/0\.png"):
        ImageFolderSource(root).load()
    assert not (root / ".moe_lab_cache").exists()


def test_a_wrong_layout_is_described(root: Path, tmp_path: Path):
    with pytest.raises(DataError, match="absent is not a folder"):
        ImageFolderSource(tmp_path / "absent").load()
    with pytest.raises(DataError, match=r"pets/train is one part of a data set"):
        ImageFolderSource(root / "train").load()
    (root / "test" / "owl").mkdir()
    with pytest.raises(DataError, match=r"test/owl has no counterpart in .*train"):
        ImageFolderSource(root).load()
    (root / "train" / "owl").mkdir()
    with pytest.raises(DataError, match=r"train/owl holds no pictures"):
        ImageFolderSource(root).load()
    shutil.rmtree(root / "test")
    with pytest.raises(DataError, match=r"pets/test is not a folder"):
        ImageFolderSource(root).load()


def test_a_class_that_only_train_has_is_named(root: Path):
    save(root / "train" / "owl" / "0.png", 1)
    with pytest.raises(DataError, match=r"train/owl has no counterpart in .*test"):
        ImageFolderSource(root).load()
