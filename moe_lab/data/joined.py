"""Several sources as one task."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from moe_lab.data.sources import ImageSets, Source
from moe_lab.errors import DataError


class JoinedSource(Source):
    """The images of all sources, each with classes of its own, one source's after the other's.

    The name of a class is that of its source, an underscore and what it is called there.
    """

    def __init__(self, sources: Mapping[str, Source], name: str) -> None:
        if not sources:
            raise ValueError("sources must name at least one source, got none")
        self.sources, self.name = dict(sources), name

    def load(self) -> ImageSets:
        parts = {prefix: source.load() for prefix, source in self.sources.items()}
        shapes = {prefix: tuple(sets.train_images.shape[1:]) for prefix, sets in parts.items()}
        if len(set(shapes.values())) > 1:
            raise DataError(
                "the images of the joined sources differ: "
                + ", ".join(f"{prefix} {list(shape)}" for prefix, shape in shapes.items()),
                "one [channels, height, width] for all",
                "join sources of equal images",
            )
        starts = torch.tensor([0, *(len(sets.class_names) for sets in parts.values())]).cumsum(0)
        pairs = list(zip(parts.values(), starts.tolist(), strict=False))
        return ImageSets(
            torch.cat([sets.train_images for sets, _ in pairs]),
            torch.cat([sets.train_labels + start for sets, start in pairs]),
            torch.cat([sets.test_images for sets, _ in pairs]),
            torch.cat([sets.test_labels + start for sets, start in pairs]),
            tuple(
                f"{prefix}_{name}" for prefix, sets in parts.items() for name in sets.class_names
            ),
            self.name,
            " and ".join(sets.copy for sets, _ in pairs),
        )
