"""A task of memory: labels that have nothing to do with the images (Zhang et al. 2017)."""

from __future__ import annotations

import torch

from moe_lab.data.resident import seeded
from moe_lab.data.sources import Part

RANDOM_LABEL_STREAM = 8  # of the draws that follow from a seed
NOTE = (
    "labels are random (dataset.labels=random): nothing is held out, and validation and test are "
    "the training images, so that their accuracy is the share of labels that were memorised"
)


def memory_task(train: Part, num_classes: int, seed: int) -> dict[str, Part]:
    """The training images with labels drawn uniformly by `seed`, as training, validation and test.

    What was not seen cannot be known, so what counts is the accuracy on what was.
    """
    images, labels, *domains = train
    generator = seeded(seed, RANDOM_LABEL_STREAM)
    drawn = torch.randint(num_classes, labels.shape, generator=generator)
    part = (images, drawn, *domains)
    return {"train": part, "val": part, "test": part}
