"""Images that together hit every expert: validation images first, then random ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from moe_lab.analysis.export.formats import Opened
from moe_lab.errors import UserError
from moe_lab.training.build import build_data
from moe_lab.training.run_directory import RunDirectory

NUM_IMAGES = 128  # compared; two batches of 64


@dataclass(frozen=True)
class TriedImages:
    """uint8 images [B, channels, height, width], and what they hit."""

    images: Tensor
    sources: tuple[str, ...]  # kinds of images among which was searched
    not_hit: Mapping[str, list[int]]  # layer -> experts that no candidate hit


def images_that_hit(
    original: Opened, layers: list[str], shape: tuple[int, ...], request: DictConfig
) -> TriedImages:
    """NUM_IMAGES images of which each expert that can be hit is used by one at least."""
    missing: dict[str, set[int]] = {}
    chosen: list[Tensor] = []
    filling: Tensor | None = None
    sources = []
    for source, candidates in kinds_of_images(shape, request):
        sources.append(source)
        filling = candidates if filling is None else filling
        weights = original(in_range(candidates, request))[1:]
        for name, own in zip(layers, weights, strict=True):
            left = missing.setdefault(name, set(range(own.shape[1])))
            for expert in sorted(left):
                rows = np.flatnonzero(own[:, expert])
                if len(rows) and len(chosen) < NUM_IMAGES:
                    chosen.append(candidates[rows[0]])
                    left.remove(expert)
        if not any(missing.values()):
            break
    assert filling is not None
    images = torch.cat([torch.stack(chosen), filling]) if chosen else filling
    while len(images) < NUM_IMAGES:
        images = torch.cat([images, filling])
    not_hit = {name: sorted(left) for name, left in missing.items() if left}
    return TriedImages(images[:NUM_IMAGES].contiguous(), tuple(sources), not_hit)


def kinds_of_images(shape: tuple[int, ...], request: DictConfig) -> Iterator[tuple[str, Tensor]]:
    """Validation images where the data are there, then noise, flat images and coarse patterns."""
    found = validation_images(request)
    if found is not None:
        yield "validation images", found
    draw = torch.Generator().manual_seed(request.seed)
    number, (channels, height, width) = request.candidates, shape
    noise = torch.randint(0, 256, (number, *shape), generator=draw)
    yield "noise", noise.to(torch.uint8)
    shades = torch.randint(0, 256, (number, channels, 1, 1), generator=draw)
    yield "flat images", shades.expand(number, *shape).to(torch.uint8)
    coarse = torch.randint(0, 256, (number, channels, 3, 3), generator=draw).float()
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="nearest")
    yield "coarse patterns", smooth.to(torch.uint8)


def validation_images(request: DictConfig) -> Tensor | None:
    """Those of the run, at most `candidates`; None where its data are not at hand."""
    config = OmegaConf.create(RunDirectory(str(request.run)).read_config())
    if request.root is not None:
        config.dataset.root = request.root
        if "root" in config.dataset.source:
            config.dataset.source.root = request.root
    try:
        parts = build_data(config).prepare().parts
    except UserError:
        return None
    images = parts["val"][0] if len(parts["val"][0]) else parts["test"][0]
    return images[: request.candidates]


def in_range(images: Tensor, request: DictConfig) -> Tensor:
    """uint8 images as the exported model reads them."""
    return images.float() / 255 if request.input == "float32" else images
