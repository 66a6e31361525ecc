from __future__ import annotations

import hashlib
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.data import CIFARSource
from moe_lab.errors import DataError, DataUnavailable
from moe_lab.training.build import build_data

NAMES = ["data_batch_1", "data_batch_2", "test_batch", "batches.meta"]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three batches of four images in CIFAR-10's format, and torchvision told their checksums."""
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number, name in enumerate(NAMES[:3]):
        pixels = np.full((4, 3072), number, np.uint8)
        pixels[:, 1024:2048] = 100  # the green plane
        content = {"data": pixels, "labels": [0, 1, 2, 9]}
        (folder / name).write_bytes(pickle.dumps(content))
    labels = [f"class{label}" for label in range(10)]
    (folder / NAMES[3]).write_bytes(pickle.dumps({"label_names": labels}))
    sums = [[name, md5(folder / name)] for name in NAMES]
    meta = {"filename": NAMES[3], "key": "label_names", "md5": sums[3][1]}
    monkeypatch.setattr(CIFAR10, "train_list", sums[:2])
    monkeypatch.setattr(CIFAR10, "test_list", sums[2:3])
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return tmp_path


def packed(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from torchvision.datasets import CIFAR10

    archive = root / CIFAR10.filename
    folder = root / CIFAR10.base_folder
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive))
    return archive


def test_batches_become_channel_first_images(root: Path):
    sets = CIFARSource(root, download=False).load()
    assert sets.train_images.shape == (8, 3, 32, 32)
    assert sets.train_images[4:, 0].unique().tolist() == [1]
    assert sets.train_images[:, 1].unique().tolist() == [100]
    assert sets.test_images[:, 2].unique().tolist() == [2]
    assert sets.test_labels.tolist() == [0, 1, 2, 9]
    assert sets.class_names[9] == "class9"
    assert sets.name == "cifar10"


def test_an_archive_is_unpacked_into_place(root: Path, monkeypatch: pytest.MonkeyPatch):
    archive = packed(root, monkeypatch)
    assert len(CIFARSource(root, download=False).load().train_images) == 8
    folder = root / "cifar-10-batches-py"
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    assert sorted(path.name for path in root.iterdir()) == [folder.name, archive.name]


def test_a_corrupt_batch_is_named(root: Path):
    path = root / "cifar-10-batches-py" / "data_batch_2"
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_2: not the official file"):
        CIFARSource(root, download=False).load()


def test_a_corrupt_archive_is_named(root: Path, monkeypatch: pytest.MonkeyPatch):
    archive = packed(root, monkeypatch)
    archive.write_bytes(archive.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz"):
        CIFARSource(root, download=False).load()


def test_a_missing_batch_is_named_and_where_to_put_it(root: Path):
    (root / "cifar-10-batches-py" / "test_batch").unlink()
    with pytest.raises(DataUnavailable, match="lacks test_batch") as caught:
        CIFARSource(root, download=False).load()
    assert str(root) in caught.value.todo


def test_only_ten_or_a_hundred_classes_exist(tmp_path: Path):
    with pytest.raises(ValueError, match="num_classes must be 10 or 100, got 20"):
        CIFARSource(tmp_path, num_classes=20)


PLANTS = (
    "maple_tree oak_tree palm_tree pine_tree willow_tree orchid poppy rose sunflower tulip apple "
    "mushroom orange pear sweet_pepper"
)


def test_fifteen_of_the_hundred_classes_are_chosen_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from torchvision.datasets import CIFAR100

    folder = tmp_path / CIFAR100.base_folder
    folder.mkdir()
    # Where they are among all fine labels, which go by the alphabet.
    places = [47, 52, 56, 59, 96, 54, 62, 70, 82, 92, 0, 51, 53, 57, 83]
    names = [f"other{label}" for label in range(100)]
    for place, name in zip(places, PLANTS.split(), strict=True):
        names[place] = name
    labels = list(range(100)) * 2
    for name in ("train", "test"):
        pixels = np.repeat(np.array(labels, np.uint8)[:, None], 3072, axis=1)
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "fine_labels": labels}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names}))
    for part in ("train", "test"):
        monkeypatch.setattr(CIFAR100, f"{part}_list", [[part, md5(folder / part)]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": md5(folder / "meta")})
    register_resolvers()
    typed = ["dataset=cifar100", f"dataset.root={tmp_path}", "dataset.download=false"]
    typed += [f"dataset.classes=[{','.join(PLANTS.split())}]", "dataset.val_fraction=0.5"]
    data = build_data(check_overrides("train", typed, multirun=False))
    assert data.class_names == tuple(PLANTS.split())
    images, labels = data.prepare().parts["test"]
    assert sorted(labels.tolist()) == sorted(list(range(15)) * 2)
    # Every pixel of an image is its label among all hundred.
    assert images[:, 0, 0, 0].tolist() == [places[label] for label in labels.tolist()]
    assert data.sizes == {"train": 15, "val": 15, "test": 30}
