"""Images: where they come from, how they are checked and split, and how batches are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moe_lab.data.augment import Augment, cutout, random_flip, random_shift
from moe_lab.data.cifar import CIFARSource
from moe_lab.data.clusters import ClustersSource
from moe_lab.data.corruption import Corruption
from moe_lab.data.digits import MNIST5kSource
from moe_lab.data.domains import DomainSource
from moe_lab.data.image_folder import ImageFolderSource
from moe_lab.data.joined import JoinedSource
from moe_lab.data.mnist import MNISTSource
from moe_lab.data.patch_clusters import PatchClustersSource
from moe_lab.data.resident import ResidentLoader
from moe_lab.data.sources import ImageSets, Source, fingerprint
from moe_lab.data.synthetic import SyntheticSource
from moe_lab.data.toy2d import Toy2DSource

if TYPE_CHECKING:
    from moe_lab.data.module import ImageData

__all__ = [
    "Augment",
    "CIFARSource",
    "ClustersSource",
    "Corruption",
    "DomainSource",
    "ImageData",
    "ImageFolderSource",
    "ImageSets",
    "JoinedSource",
    "MNIST5kSource",
    "MNISTSource",
    "PatchClustersSource",
    "ResidentLoader",
    "Source",
    "SyntheticSource",
    "Toy2DSource",
    "cutout",
    "fingerprint",
    "random_flip",
    "random_shift",
]


def __getattr__(name: str) -> Any:
    """Imports `ImageData` on first use, because Lightning takes seconds to import."""
    if name == "ImageData":
        from moe_lab.data.module import ImageData

        return ImageData
    raise AttributeError(f"module 'moe_lab.data' has no attribute {name!r}")
