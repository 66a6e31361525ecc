"""Folders that are laid out in another way, and the sentence that says how to mend each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from moe_lab.data import ImageData, ImageFolderSource, fingerprint
from moe_lab.errors import DataError
from tests.data.test_listing import draw

# The paths of pictures under the root -> what is said to be wrong, and what is to be done.
MISTAKES = {
    "capitals": (["Train/a/x.png", "Test/a/x.png"], "Train is not called train", "rename Train to"),
    "one capital": (["train/a/x.png", "TEST/a/x.png"], "TEST is not called test", "rename TEST"),
    "training": (["training/a/x.png", "testing/a/x.png"], "not called train", "rename training"),
    "flat classes": (
        ["cat/x.png", "dog/x.png"],
        "has classes, but no parts",
        "move most pictures of <class> to train/<class>",
    ),
    "flat pictures": (["x.png", "y.png"], "in no class folder", "sort them into train/<class>"),
    "flat parts": (
        ["train/x.png", "test/x.png"],
        "train has no class folders but pictures",
        "sort the pictures by class",
    ),
    "one folder too high": (["pets/train/a/x.png", "pets/test/a/x.png"], "but .*is", "pets$"),
    "classes above parts": (
        ["cat/train/x.png", "cat/test/x.png", "dog/train/x.png", "dog/test/x.png"],
        "parts lie inside of classes",
        r"move .*cat/train to .*train/cat",
    ),
    "parts inside of classes": (
        ["cat/train/x.png", "dog/train/x.png"],
        "parts lie inside of classes",
        r"move .*cat/train to .*train/cat",
    ),
    "one folder too low": (
        ["train/images/cat/x.png", "train/images/dog/x.png", "test/images/cat/x.png"],
        "train/images is the only class, and holds folders",
        "move them from .*train/images to .*train",
    ),
    "no test": (["train/a/x.png"], "test is not a folder", "from train/<class> to test/<class>"),
    "val for test": (["train/a/x.png", "val/a/x.png"], "test is not", "rename val to test"),
    "names differ in case": (
        ["train/Cat/x.png", "test/cat/x.png"],
        "test/cat has no counterpart",
        "train/Cat and .*test/cat the same name",
    ),
    "two validations": (
        ["train/a/x.png", "test/a/y.png", "val/a/x.png", "valid/a/x.png"],
        "are both there",
        "into val/",
    ),
    "no val of a class": (
        ["train/a/x.png", "train/b/x.png", "test/a/y.png", "test/b/y.png", "val/a/x.png"],
        "train/b has no counterpart in .*val",
        "add pictures to .*val/b",
    ),
}


@pytest.mark.parametrize(("paths", "wrong", "todo"), MISTAKES.values(), ids=MISTAKES)
def test_each_mistake_is_said_with_its_mending(
    tmp_path: Path, paths: list[str], wrong: str, todo: str
) -> None:
    for path in paths:
        draw(tmp_path / "pets" / path, 1)
    with pytest.raises(DataError, match=wrong) as caught:
        ImageFolderSource(tmp_path / "pets").load()
    assert re.search(todo, caught.value.todo)


def test_the_root_may_not_be_one_of_its_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        draw(tmp_path / part / "a" / "x.png", 1)
    with pytest.raises(DataError, match="is one part of a data set") as caught:
        ImageFolderSource(tmp_path / "train").load()
    assert caught.value.todo == f"set dataset.root={tmp_path}"


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "pets.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"pets\.zip is a file: unpack it"):
        ImageFolderSource(tmp_path / "pets.zip").load()


@pytest.fixture(params=["val", "valid", "validation"])
def validated(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Shades 0 to 39 to train, 100 to 105 to test, 200 to 207 to validate, in two classes."""
    for part, first, count in (("train", 0, 40), ("test", 100, 6), (request.param, 200, 8)):
        for shade in range(first, first + count):
            draw(tmp_path / part / "ab"[shade % 2] / f"{shade}.png", shade)
    return tmp_path


def part_shades(data: ImageData, part: str) -> list[int]:
    return sorted(data.prepare().parts[part][0][:, 0, 0, 0].tolist())


def test_a_folder_of_validation_pictures_validates(validated: Path) -> None:
    data = ImageData(ImageFolderSource(validated))
    assert part_shades(data, "train") == list(range(40))
    assert part_shades(data, "val") == list(range(200, 208))
    assert part_shades(data, "test") == list(range(100, 106))
    name = next(p.name for p in validated.iterdir() if p.name.startswith("val"))
    assert data.notes == (f"validation on the 8 pictures of {name}/; none of train/ are held out",)
    again = ImageData(ImageFolderSource(validated))  # from the cache
    assert (again.fingerprint, again.notes) == (data.fingerprint, data.notes)
    assert part_shades(again, "val") == part_shades(data, "val")


def test_a_share_to_hold_out_beside_validation_pictures_is_refused(validated: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.val_fraction=0\.2, but .* has validation"):
        ImageData(ImageFolderSource(validated), val_fraction=0.2).prepare()


def test_a_subset_and_a_choice_of_classes_leave_validation_pictures_alone(validated: Path) -> None:
    data = ImageData(ImageFolderSource(validated), subset=20, classes=["b"])
    assert len(part_shades(data, "train")) == 20
    assert part_shades(data, "val") == [201, 203, 205, 207]


def test_the_fingerprint_knows_the_validation_pictures(validated: Path) -> None:
    first = ImageFolderSource(validated).load()
    path = next(path for path in validated.rglob("200.png"))
    draw(path, 250)
    assert fingerprint(ImageFolderSource(validated).load()) != fingerprint(first)


def test_without_a_choice_a_tenth_is_held_out(tmp_path: Path) -> None:
    for part, count in (("train", 40), ("test", 4)):
        for shade in range(count):
            draw(tmp_path / part / "ab"[shade % 2] / f"{shade}.png", shade)
    data = ImageData(ImageFolderSource(tmp_path))
    assert data.sizes == {"train": 36, "val": 4, "test": 4}
    assert data.fingerprint == ImageData(ImageFolderSource(tmp_path), val_fraction=0.1).fingerprint
