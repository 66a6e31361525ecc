"""What the metrics here share: they keep sums over images, and read every number off the totals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from moe_lab.outputs import Output

Totals = Mapping[str, NDArray[Any]]


class Sums(Metric, ABC):
    """A metric whose states are sums, so that batches and devices can be added in any order."""

    full_state_update = False

    def keep(self, **zeros: Tensor) -> None:
        """Declare the sums by name, with the tensors of zeros that they start from."""
        for name, state in zeros.items():
            self.add_state(name, state, dist_reduce_fx="sum")
        self._whole: Totals = {}

    @abstractmethod
    def values(self, totals: Totals) -> dict[str, float]:
        """The numbers of the summary."""

    def tables_of(self, totals: Totals) -> dict[str, Any]:
        """What does not fit in one number: nested lists by name."""
        return {}

    def compute(self) -> dict[str, float]:
        """Every number by name, over all devices."""
        self._whole = self._totals()
        return self.values(self._whole)

    def tables(self) -> dict[str, Any]:
        """Nested lists by name: over all devices after `compute`, before it of this process."""
        return self.tables_of(self._totals() if self._computed is None else self._whole)

    def _totals(self) -> Totals:
        return {name: getattr(self, name).cpu().numpy() for name in self._defaults}


class OutputStatistics(Sums):
    """Sums over what a model says about its images as a whole."""

    @classmethod
    @abstractmethod
    def sized_for(cls, output: Output, num_classes: int) -> Self | None:
        """One for a model with such outputs; None where there is nothing to count."""

    @abstractmethod
    def add(self, output: Output, target: Tensor) -> None:
        """Add a batch with its true labels [B]."""


class LayerStatistics(Sums):
    """Sums over what one routing of a model does; each layer has its own.

    One with `of_domains` is sized by the number of domains instead of classes and given the true
    domain of each image instead of its label; where domains are not known it is left out.
    """

    of_domains: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def sized_for(cls, output: Output, layer: str, num_classes: int) -> Self | None:
        """One for this layer of a model with such outputs; None where there is nothing to count."""

    @abstractmethod
    def add(self, output: Output, layer: str, target: Tensor) -> None:
        """Add what this layer did on a batch with its true labels [B]."""


def add_up(index: Tensor, amounts: Tensor, size: int) -> Tensor:
    """Sums of the amounts that share an index: [B], [B, ...] -> [size, ...]."""
    # Not bincount: to size its answer it waits for the GPU, at every batch.
    return amounts.new_zeros(size, *amounts.shape[1:]).index_add_(0, index, amounts)


def ratio(amounts: NDArray[Any], totals: NDArray[Any]) -> NDArray[np.float64]:
    """amounts / totals, NaN where the total is 0."""
    shape = np.broadcast_shapes(np.shape(amounts), np.shape(totals))
    return np.divide(amounts, totals, out=np.full(shape, np.nan), where=np.asarray(totals) > 0)
