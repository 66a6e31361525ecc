"""One task in several domains: images of one or more sources under fixed transformations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from moe_lab.data.joined import join
from moe_lab.data.resident import seeded
from moe_lab.data.sources import ImageSets, Part, Source, fields_of
from moe_lab.data.views import VIEWS, View
from moe_lab.errors import DataError

VIEW_STREAM, LABEL_STREAM = 6, 7  # of the draws that follow from a seed, beside those of views


class DomainSource(Source):
    """Every image of every source under one of `num_views` fixed transformations, drawn at random;
    domain = source * num_views + view.

    Image n of a source is of its class m: with labels=shared it has label m in every domain, with
    labels=permuted the one to which a random permutation of the domain's own maps m. `every_view`
    shows each image under all views instead, so that there are `num_views` times as many.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        name: str,
        view: str = "permutations",
        num_views: int = 8,
        labels: str = "shared",
        every_view: bool = False,
        seed: int = 0,
    ) -> None:
        if view not in VIEWS:
            raise ValueError(f"view must be one of {', '.join(VIEWS)}, got {view!r}")
        if labels not in ("shared", "permuted"):
            raise ValueError(f"labels must be shared or permuted, got {labels!r}")
        if num_views < 1:
            raise ValueError(f"num_views must be >= 1, got {num_views}")
        if seed < 0:
            raise ValueError(f"seed must be >= 0, got {seed}")
        if not sources:
            raise ValueError("sources must name at least one source, got none")
        self.sources, self.name = dict(sources), name
        self.view, self.num_views, self.labels = view, num_views, labels
        self.every_view, self.seed = every_view, seed

    def load(self) -> ImageSets:
        loaded = {prefix: source.load() for prefix, source in self.sources.items()}
        sizes = {prefix: len(sets.class_names) for prefix, sets in loaded.items()}
        if len(set(sizes.values())) > 1:
            raise DataError(
                "the sources differ in classes: "
                + ", ".join(f"{prefix} has {size}" for prefix, size in sizes.items()),
                "as many classes in each, since domains share their labels",
                "use sources of equal numbers of classes",
            )
        joined = join(loaded, self.name)
        num_classes = len(joined.class_names) // len(loaded)
        height, width = joined.train_images.shape[2:]
        setting = Setting(
            VIEWS[self.view](self.num_views, height, width, self.seed),
            self.label_maps(len(loaded) * self.num_views, num_classes),
            self.seed,
            self.every_view,
        )
        parts = {
            part: setting.shown(tensors, stream)
            for stream, (part, tensors) in enumerate(joined.parts().items())
        }
        return ImageSets(
            **fields_of(parts),
            class_names=tuple(str(label) for label in range(num_classes)),
            name=joined.name,
            copy=f"{joined.copy}; {self.num_views} views ({self.view}), labels {self.labels}, "
            f"seed {self.seed}",
            notes=joined.notes,
        )

    def label_maps(self, num_domains: int, num_classes: int) -> Tensor:
        """The label of each class in each domain, [domains, C]."""
        if self.labels == "shared":
            return torch.arange(num_classes).expand(num_domains, -1)
        generator = seeded(self.seed, LABEL_STREAM)
        return torch.stack(
            [torch.randperm(num_classes, generator=generator) for _ in range(num_domains)]
        )


@dataclass(frozen=True)
class Setting:
    """The transformations and labels of all domains."""

    views: list[View]
    label_maps: Tensor  # [domains, C]
    seed: int
    every_view: bool

    def shown(self, part: Part, stream: int) -> Part:
        """The images of a part under their views, with labels and domains of what that makes."""
        images, labels, source = part
        own = labels % self.label_maps.shape[1]  # the joined labels count on from source to source
        if self.every_view:
            shown = torch.cat([view(images) for view in self.views])
            which = torch.arange(len(self.views)).repeat_interleave(len(images))
            own, source = own.repeat(len(self.views)), source.repeat(len(self.views))
        else:
            generator = seeded(self.seed, VIEW_STREAM, stream)
            which = torch.randint(len(self.views), (len(images),), generator=generator)
            shown = torch.empty_like(images)
            for index, view in enumerate(self.views):
                shown[which == index] = view(images[which == index])
        domain = source * len(self.views) + which
        return shown, self.label_maps[domain, own], domain
