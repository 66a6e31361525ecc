"""Several sources as one task."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from moe_lab.data.sources import ImageSets, Source
from moe_lab.errors import DataError


class JoinedSource(Source):
    """The images of all sources, each with classes of its own, one source's after the other's.

    The name of a class is that of its source, an underscore and what it is called there. The
    domain of an image is the place of its source in the mapping.
    """

    def __init__(self, sources: Mapping[str, Source], name: str) -> None:
        if not sources:
            raise ValueError("sources must name at least one source, got none")
        self.sources, self.name = dict(sources), name

    def load(self) -> ImageSets:
        return join({prefix: source.load() for prefix, source in self.sources.items()}, self.name)


def join(parts: Mapping[str, ImageSets], name: str) -> ImageSets:
    """The images of all sets as one, see `JoinedSource`."""
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
    given = {prefix: "val" in sets.parts() for prefix, sets in parts.items()}
    if any(given.values()) and not all(given.values()):
        lacking = next(prefix for prefix, has in given.items() if not has)
        raise DataError(
            f"of the joined sources, {lacking} has no validation images, but others do",
            "validation images in every source, or in none",
            "add a folder val, or move the others elsewhere",
        )
    tensors = {}
    for part in pairs[0][0].parts():
        tensors[f"{part}_images"] = torch.cat([sets.parts()[part][0] for sets, _ in pairs])
        labels = [sets.parts()[part][1] + start for sets, start in pairs]
        tensors[f"{part}_labels"] = torch.cat(labels)
        domains = [torch.full_like(own, source) for source, own in enumerate(labels)]
        tensors[f"{part}_domains"] = torch.cat(domains)
    return ImageSets(
        **tensors,
        class_names=tuple(
            f"{prefix}_{own}" for prefix, sets in parts.items() for own in sets.class_names
        ),
        name=name,
        copy=" and ".join(sets.copy for sets, _ in pairs),
        notes=tuple(f"{prefix}: {note}" for prefix, s in parts.items() for note in s.notes),
    )
