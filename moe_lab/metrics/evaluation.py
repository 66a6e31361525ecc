"""All metrics of one evaluation: of the predictions, of each routing, and of each pass."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from moe_lab.metrics.registry import METRICS
from moe_lab.metrics.sums import LayerStatistics, OutputStatistics, Sums
from moe_lab.outputs import Output


class Evaluation(nn.Module):
    """Fed with every batch, it knows the values of the whole split; sized by the first output.

    What it measures with are the statistics that entries of the registry name.
    """

    def __init__(self, num_classes: int, num_domains: int | None = None) -> None:
        super().__init__()
        self.num_classes, self.num_domains = num_classes, num_domains
        self.whole = nn.ModuleDict()  # class -> OutputStatistics
        self.layers = nn.ModuleDict()  # name of a routing -> class -> LayerStatistics

    def update(self, output: Output, target: Tensor, domain: Tensor | None = None) -> None:
        """Add a batch of outputs with its true labels [B] and, where known, domains [B]."""
        if not self.whole:
            self._size(output, target)
        for statistics in self._of_output():
            statistics.add(output, target)
        for layer in self.layers:
            for of_layer in self._of_layer(layer):
                if not of_layer.of_domains:
                    of_layer.add(output, layer, target)
                elif domain is not None:
                    of_layer.add(output, layer, domain)

    def _size(self, output: Output, target: Tensor) -> None:
        for name, kind in kinds(by_layer=False).items():
            assert issubclass(kind, OutputStatistics)
            found = kind.sized_for(output, self.num_classes)
            if found is not None:
                self.whole[name] = found.to(target.device)
        for layer in output.routings:
            measures = nn.ModuleDict()
            for name, kind in kinds(by_layer=True).items():
                assert issubclass(kind, LayerStatistics)
                size = self.num_domains if kind.of_domains else self.num_classes
                of_layer = None if size is None else kind.sized_for(output, layer, size)
                if of_layer is not None:
                    measures[name] = of_layer.to(target.device)
            self.layers[layer] = measures

    def compute(self) -> dict[str, float]:
        """Every value by name; those of a layer start with its name where there are several."""
        values: dict[str, float] = {}
        for statistics in self._of_output():
            values |= statistics.compute()
        for layer in self.layers:
            prefix = self._prefix(layer)
            for of_layer in self._of_layer(layer):
                values |= {f"{prefix}{name}": v for name, v in of_layer.compute().items()}
        return values

    def tables(self) -> dict[str, Any]:
        """Nested lists: `confusion`, `calibration`, `layers` by name, `passes` where there are any.

        Read them after `compute`, which gathers what other devices saw.
        """
        tables: dict[str, Any] = {}
        for statistics in self._of_output():
            tables |= statistics.tables()
        return tables | {"layers": {layer: self._layer_tables(layer) for layer in self.layers}}

    def loads(self) -> dict[str, float]:
        """`share_0`, `share_1`, ...: each expert's load, its share of all weight of its layer."""
        return {
            f"{self._prefix(layer)}share_{expert}": share
            for layer in self.layers
            for expert, share in enumerate(self._layer_tables(layer)["load"])
        }

    def used_share(self) -> dict[str, list[float]]:
        """Layer -> share of images on which each expert was computed, [E]."""
        return {layer: self._layer_tables(layer)["used_share"] for layer in self.layers}

    def reset(self) -> None:
        """Forget everything, as before an evaluation."""
        for statistics in self.modules():
            if isinstance(statistics, Sums):
                statistics.reset()

    def _prefix(self, layer: str) -> str:
        return f"{layer}_" if len(self.layers) > 1 else ""

    def _layer_tables(self, layer: str) -> dict[str, Any]:
        tables: dict[str, Any] = {}
        for statistics in self._of_layer(layer):
            tables |= statistics.tables()
        return tables

    def _of_output(self) -> Iterator[OutputStatistics]:
        for statistics in self.whole.values():
            assert isinstance(statistics, OutputStatistics)
            yield statistics

    def _of_layer(self, layer: str) -> Iterator[LayerStatistics]:
        for statistics in self.layers[layer].values():  # type: ignore[operator]
            assert isinstance(statistics, LayerStatistics)
            yield statistics


@cache
def kinds(by_layer: bool) -> dict[str, type[Sums]]:
    """The classes of statistics by name, in the order of the registry."""
    paths = dict.fromkeys(m.statistics for m in METRICS if m.statistics and m.by_layer == by_layer)
    found = {}
    for path in paths:
        module, name = path.rsplit(".", 1)
        found[name] = getattr(import_module(f"moe_lab.metrics.{module}"), name)
    return found
