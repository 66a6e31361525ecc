"""Classifiers and images that the tests of training on pictures share."""

from __future__ import annotations

import torch
from omegaconf import OmegaConf
from torch import Tensor

from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.training import build
from moe_lab.training.classifier import Classifier

CONV = ("backbone=conv", "backbone.channels=[4,8]")


def classifier_of(*words: str) -> Classifier:
    register_resolvers()
    size = ["dataset=synthetic", "dataset.size=[3,16,16]"]
    config = check_overrides("train", [*size, *words], multirun=False)
    OmegaConf.update(config, "dataset.mean", [0.5] * 3)
    OmegaConf.update(config, "dataset.std", [0.25] * 3)
    torch.manual_seed(0)
    return build.build_classifier(config, build.Length(1, 1))


def random_images(num_images: int = 12) -> Tensor:
    return torch.randn(num_images, 3, 16, 16, generator=torch.Generator().manual_seed(1))
