"""Which files of a folder are read as pictures, how often, and what is said of the others."""

from __future__ import annotations

import json
import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moe_lab.data import ImageFolderSource, ImageSets
from moe_lab.errors import DataError
from tests.conftest import Train


def draw(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((3, 4), shade, np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Classes cat and dog, with shades 10 and 20, 30 and 40 to train and 50, 60 to test."""
    folder = tmp_path / "pets"
    for place, name in enumerate(("cat", "dog")):
        draw(folder / "train" / name / "a.png", 10 + 20 * place)
        draw(folder / "train" / name / "b.png", 20 + 20 * place)
        draw(folder / "test" / name / "a.png", 50 + 10 * place)
    return folder


def shades(sets: ImageSets) -> list[int]:
    return sets.train_images[:, 0, 0, 0].tolist()


def said(root: Path) -> str:
    return "\n".join(ImageFolderSource(root).load().notes)


def test_of_an_ordinary_folder_there_is_nothing_to_say(root: Path) -> None:
    assert ImageFolderSource(root).load().notes == ()


def test_what_is_left_out_is_counted_and_named_each_time(root: Path) -> None:
    for number in range(7):
        (root / "train" / "cat" / f"{number}.heic").write_bytes(b"ftypheic")
    (root / "train" / "dog" / "notes.txt").write_text("")
    (root / "test" / "dog" / "README").write_text("")
    (root / "train" / "cat" / ".DS_Store").write_bytes(b"")
    draw(root / "train" / ".cache" / "x.png", 1)
    draw(root / "train" / "loose.png", 1)
    draw(root / "extra" / "x.png", 1)
    for _ in range(2):  # decoded, then from the cache
        sets = ImageFolderSource(root).load()
        assert shades(sets) == [10, 20, 30, 40]
        assert sets.notes == (
            "2 left out, hidden: train/.cache, train/cat/.DS_Store",
            "1 left out, in no class folder: train/loose.png",
            "9 left out, of a kind that is not read (7 .heic, 1 .txt, 1 without an ending); "
            "convert what is a picture to png or jpg: train/cat/0.heic, train/cat/1.heic, "
            "train/cat/2.heic, train/cat/3.heic, train/cat/4.heic and 4 more",
            "1 left out, beside the folders that are read: extra",
        )


@pytest.mark.parametrize(
    "suffix", ["tif", "TIFF", "gif", "ppm", "pgm", "pbm", "jfif", "jpe", "tga"]
)
def test_every_ending_that_pillow_reads_is_read(root: Path, suffix: str) -> None:
    Image.new("1" if suffix == "pbm" else "L", (4, 3), 0).save(
        root / "train" / "cat" / f"c.{suffix}"
    )
    sets = ImageFolderSource(root).load()
    assert sets.train_images[:, 0, 0, 0].tolist() == [10, 20, 0, 30, 40]
    assert sets.notes == ()


def test_a_loop_of_links_multiplies_nothing(root: Path) -> None:
    cat = root / "train" / "cat"
    (cat / "loop").symlink_to(cat, target_is_directory=True)
    (cat / "up").symlink_to(root, target_is_directory=True)
    (cat / "out").symlink_to("/", target_is_directory=True)
    (cat / "parts").symlink_to(root / "train", target_is_directory=True)
    sets = ImageFolderSource(root).load()
    assert shades(sets) == [10, 20, 30, 40]
    assert sets.notes == (
        "1 left out, a link to what is read elsewhere: train/cat/loop",
        "3 left out, a link to a folder above: train/cat/out, train/cat/parts, train/cat/up",
    )


def test_a_picture_that_links_lead_to_is_read_once(root: Path) -> None:
    (root / "train" / "cat" / "a2.png").symlink_to("a.png")
    sets = ImageFolderSource(root).load()
    assert shades(sets) == [10, 20, 30, 40]
    assert sets.notes == ("1 left out, a link to what is read elsewhere: train/cat/a2.png",)


def test_a_link_between_classes_takes_nothing_from_either(root: Path) -> None:
    (root / "train" / "cat" / "0dogs").symlink_to(root / "train" / "dog")
    sets = ImageFolderSource(root).load()
    assert (shades(sets), sets.train_labels.tolist()) == ([10, 20, 30, 40], [0, 0, 1, 1])
    assert "train/cat/0dogs" in sets.notes[0]


def test_folders_made_of_links_to_pictures_elsewhere_are_read(root: Path, tmp_path: Path) -> None:
    draw(tmp_path / "pool" / "x.png", 99)
    (root / "train" / "cat" / "x.png").symlink_to(tmp_path / "pool" / "x.png")
    draw(tmp_path / "owls" / "y.png", 98)
    (root / "train" / "owl").symlink_to(tmp_path / "owls")
    draw(root / "test" / "owl" / "z.png", 97)
    sets = ImageFolderSource(root).load()
    assert shades(sets) == [10, 20, 99, 30, 40, 98]
    assert sets.train_labels.tolist() == [0, 0, 0, 1, 1, 2]
    assert sets.notes == ()


def test_a_class_that_is_a_link_to_another_is_refused(root: Path) -> None:
    (root / "train" / "puppy").symlink_to(root / "train" / "dog")
    draw(root / "test" / "puppy" / "a.png", 70)
    with pytest.raises(DataError, match=r"train/puppy holds no pictures .* read elsewhere"):
        ImageFolderSource(root).load()


def test_what_is_no_ordinary_file_is_left_out_and_named(root: Path) -> None:
    cat = root / "train" / "cat"
    os.mkfifo(cat / "fifo.png")
    (cat / "gone.png").symlink_to(root / "nowhere.png")
    (cat / "self.png").symlink_to("self.png")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(cat / "s.png"))
    (cat / "null.png").symlink_to("/dev/null")
    sets = ImageFolderSource(root).load()
    assert shades(sets) == [10, 20, 30, 40]
    assert sets.notes == (
        "3 left out, no ordinary file (a FIFO, socket or device): "
        "train/cat/fifo.png, train/cat/null.png, train/cat/s.png",
        "2 left out, a link to nothing: train/cat/gone.png, train/cat/self.png",
    )


@pytest.mark.parametrize("path", ["train/cat/a.png", "train/cat"])
def test_what_may_not_be_read_is_named(
    root: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Permissions do not hold for the superuser, so the call that meets them stands in for them.
    wanted = str(root / path)
    for module, name in ((os, "scandir"), (Image, "open")):
        original = getattr(module, name)

        def refuse(place: str, *rest: object, original=original):  # type: ignore[no-untyped-def]
            if str(place) == wanted:
                raise PermissionError(13, "Permission denied", place)
            return original(place, *rest)

        monkeypatch.setattr(module, name, refuse)
    with pytest.raises(DataError, match=rf"{path}: Permission denied") as caught:
        ImageFolderSource(root).load()
    assert "permissions" in caught.value.todo


def test_names_that_no_screen_can_show_are_replaced(root: Path) -> None:
    (root / "train" / "cat" / os.fsdecode(b"\xff.txt")).write_text("")
    assert "train/cat/?.txt" in said(root)


def test_pictures_below_a_class_belong_to_it(root: Path) -> None:
    draw(root / "train" / "cat" / "below" / "c.png", 11)
    assert shades(ImageFolderSource(root).load()) == [10, 20, 11, 30, 40]


def test_transparency_and_frames_are_said_once(root: Path) -> None:
    clear = Image.new("LA", (4, 3), (0, 0))
    for name in ("x.png", "y.png"):
        clear.save(root / "train" / "cat" / name)
    frames = [Image.new("L", (4, 3), shade) for shade in (200, 100)]
    frames[0].save(root / "test" / "cat" / "z.tif", save_all=True, append_images=frames[1:])
    sets = ImageFolderSource(root).load()
    assert shades(sets) == [10, 20, 255, 255, 30, 40]
    assert sets.notes == (
        "2 of 9 pictures are partly transparent: put on white, such as train/cat/x.png",
        "1 of 9 pictures are of several frames or pages: the first was read, "
        "such as test/cat/z.tif",
    )


def test_opaque_pictures_with_alpha_are_not_spoken_of(root: Path) -> None:
    Image.new("LA", (4, 3), (7, 255)).save(root / "train" / "cat" / "x.png")
    sets = ImageFolderSource(root).load()
    assert (shades(sets)[2], sets.notes) == (7, ())


def test_pictures_that_training_shares_with_the_test_are_counted(root: Path) -> None:
    draw(root / "test" / "cat" / "same.bmp", 20)  # another file, the same pixels
    draw(root / "test" / "cat" / "other.png", 40)  # a dog in training
    sets = ImageFolderSource(root).load()
    (note,) = sets.notes
    assert note.startswith(
        "2 of 4 pictures of test are also in train, pixel by pixel, 1 of them in another class"
    )
    assert "test/cat/same.bmp = train/cat/b.png" in note
    assert "test/cat/other.png = train/dog/b.png" in note


@pytest.mark.parametrize("limit", [11, 5])
def test_a_picture_that_would_fill_the_memory_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # of 3 x 4 pixels; Pillow's own is 2x
    with pytest.raises(DataError, match=r"train/cat/a\.png: .*too large") as caught:
        ImageFolderSource(root).load()
    assert f"at most {limit} pixels" in caught.value.expected


def test_samples_of_fourteen_bits_are_asked_about(root: Path) -> None:
    for path in root.rglob("*.png"):
        samples = np.full((3, 4), 16383 if path.parts[-2] == "dog" else 8000, np.uint16)
        Image.fromarray(samples).save(path)
    (note, *_) = ImageFolderSource(root).load().notes
    assert "no sample of the 6 16-bit pictures is above 16,383 of 65,535" in note
    sets = ImageFolderSource(root, white=16383).load()
    assert shades(sets) == [125, 125, 255, 255]  # 8000 * 255 / 16383 = 124.5
    assert not any("16-bit" in note for note in sets.notes)


@pytest.mark.parametrize(("white", "expected"), [(4095, [62, 255]), (65535, [4, 16])])
def test_white_says_what_twelve_bits_mean(root: Path, white: int, expected: list[int]) -> None:
    for path in root.rglob("*.png"):
        samples = np.full((3, 4), 4095 if path.parts[-2] == "dog" else 1000, np.uint16)
        Image.fromarray(samples).save(path)
    with pytest.raises(DataError, match="at most 12 are used") as caught:
        ImageFolderSource(root).load()
    assert "dataset.white" in caught.value.todo
    # A format whose header names the white sample, here 32,767, keeps it.
    head = b"P5 4 3 32767 "
    (root / "train" / "dog" / "c.pgm").write_bytes(head + struct.pack(">H", 16384) * 12)
    found = shades(ImageFolderSource(root, white=white).load())
    assert found == [expected[0]] * 2 + [expected[1]] * 2 + [128]  # 16384 * 255 / 32767 = 127.5


def test_sixteen_bit_pictures_of_two_means_differ(root: Path) -> None:
    for path in root.rglob("*.png"):
        mean = 50_000 if path.parts[-2] == "dog" else 10_000
        Image.fromarray(np.full((3, 4), mean, np.uint16)).save(path)
    assert shades(ImageFolderSource(root).load()) == [39, 39, 195, 195]  # / 257: 38.9, 194.6


def test_portrait_and_landscape_of_one_camera_have_one_size(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (3, 4), 9).save(root / "train" / "cat" / "c.png", exif=exif)
    assert ImageFolderSource(root).load().train_images.shape == (5, 1, 3, 4)


def test_a_run_says_and_records_what_was_left_out(
    root: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cat", "dog"):
        for number in range(10):
            draw(root / "train" / name / f"c{number}.png", 100 + number + len(name))
    (root / "train" / "cat" / "x.heic").write_bytes(b"")
    code, run = train("dataset=image_folder", f"dataset.root={root}", "router.top_k=1", small=False)
    assert code == 0
    line = (
        "1 left out, of a kind that is not read (1 .heic); convert what is a picture to png or "
        "jpg: train/cat/x.heic"
    )
    assert f"data: {line}\n" in capsys.readouterr().out
    about = json.loads((run / "environment.json").read_text())
    assert line in about["data"]["notes"]
    assert f"data: {line}" in (run / "train.log").read_text()
    assert json.loads((run / "summary.json").read_text())["status"] == "done"
