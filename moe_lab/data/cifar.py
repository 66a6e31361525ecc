"""CIFAR-10 and CIFAR-100 through torchvision, which knows the checksum of every file."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moe_lab.data.download import downloading
from moe_lab.data.sources import ImageSets, Source
from moe_lab.errors import DataError, DataUnavailable


class CIFARSource(Source):
    """CIFAR-10 or CIFAR-100 (fine labels) from its folder or archive in `root`, else fetched."""

    def __init__(
        self, root: str | os.PathLike[str], download: bool = True, num_classes: int = 10
    ) -> None:
        if num_classes not in (10, 100):
            raise ValueError(f"num_classes must be 10 or 100, got {num_classes}")
        self.root, self.download = Path(root).expanduser(), download
        self.name = f"cifar{num_classes}"

    def load(self) -> ImageSets:
        from torchvision import datasets

        dataset = getattr(datasets, self.name.upper())
        if missing(dataset, self.root):
            archive = self.root / dataset.filename
            if archive.is_file():
                return self._unpack(dataset, archive)
            self._fetch(dataset)
        return self._read(dataset, self.root)

    def _read(self, dataset: Any, root: Path) -> ImageSets:
        try:
            train, test = (dataset(str(root), train=part) for part in (True, False))
        except (RuntimeError, OSError) as error:
            raise corrupt(dataset, root) from error
        return ImageSets(
            *tensors(train),
            *tensors(test),
            tuple(train.classes),
            self.name,
            f"{dataset.__name__}: the official files, md5 verified",
        )

    def _unpack(self, dataset: Any, archive: Path) -> ImageSets:
        from torchvision.datasets.utils import check_integrity, extract_archive

        if not check_integrity(str(archive), dataset.tgz_md5):
            raise DataError(
                f"{archive}: {archive.stat().st_size:,} bytes, not the official archive",
                f"md5 {dataset.tgz_md5}",
                "delete it and let it download again (dataset.download=true)",
            )
        with tempfile.TemporaryDirectory(dir=writable(self.root)) as folder:
            extract_archive(str(archive), folder)
            sets = self._read(dataset, Path(folder))
            if Path(folder).parent == self.root:
                install_files(dataset, Path(folder), self.root)
            return sets

    def _fetch(self, dataset: Any) -> None:
        todo = (
            f"put {dataset.filename} into {self.root}, or set dataset.root or the environment "
            f"variable MOE_LAB_DATA to the folder that holds {dataset.base_folder}, or use "
            "dataset=mnist_5k, which needs no network"
        )
        if not self.download:
            raise DataUnavailable(
                f"{dataset.__name__}: {self.root} lacks {missing(dataset, self.root)[0].name}",
                f"the folder {dataset.base_folder}; dataset.download is off",
                f"set dataset.download=true, or {todo}",
            )
        with downloading(dataset.__name__, self.root, [dataset.url], todo) as (folder, _):
            dataset(str(folder), download=True)
            install_files(dataset, folder, self.root)


def files(dataset: Any, root: Path) -> dict[Path, str]:
    """Every file that torchvision reads, with its md5."""
    listed = [*dataset.train_list, *dataset.test_list]
    listed.append((dataset.meta["filename"], dataset.meta["md5"]))
    return {root / dataset.base_folder / name: md5 for name, md5 in listed}


def missing(dataset: Any, root: Path) -> list[Path]:
    return [path for path in files(dataset, root) if not path.is_file()]


def corrupt(dataset: Any, root: Path) -> DataError:
    from torchvision.datasets.utils import check_integrity

    checks = files(dataset, root).items()
    broken = [path for path, md5 in checks if not check_integrity(str(path), md5)]
    path = broken[0] if broken else root / dataset.base_folder
    return DataError(
        f"{path}: not the official file (wrong checksum)",
        f"md5 {files(dataset, root).get(path, 'of every file')}",
        "delete it and let it download again (dataset.download=true)",
    )


def install_files(dataset: Any, source: Path, root: Path) -> None:
    """Moves whole files into place, one atomic step each."""
    (root / dataset.base_folder).mkdir(exist_ok=True)
    for path in files(dataset, source):
        os.replace(path, root / dataset.base_folder / path.name)


def writable(folder: Path) -> Path | None:
    """The folder itself if it can be written and has room for the files, else None."""
    roomy = shutil.disk_usage(folder).free > 2**29
    return folder if os.access(folder, os.W_OK) and roomy else None


def tensors(part: Any) -> tuple[Tensor, Tensor]:
    """Images [B, 3, 32, 32] uint8 and labels [B] int64."""
    images = np.ascontiguousarray(part.data.transpose(0, 3, 1, 2))
    return torch.from_numpy(images), torch.tensor(part.targets, dtype=torch.int64)
