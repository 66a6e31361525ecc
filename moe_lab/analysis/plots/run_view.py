"""What the figures of the gallery are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from moe_lab.analysis.collected import LayerRecords, Records
from moe_lab.analysis.csv_files import layer_prefix
from moe_lab.models import Model

Pixels = NDArray[np.uint8]  # [B, channels, height, width]
Rows = Sequence[Mapping[str, Any]]  # the lines of metrics.jsonl


@dataclass(frozen=True)
class RunView:
    """Everything that is known about a run; what is missing is None or empty."""

    records: Records  # predictions and routings of B images
    images: Pixels | None = None  # the raw pixels of the records, in their order
    history: Rows = ()
    model: Model | None = None
    toy: Records | None = None  # predictions over the whole square of a run on toy2d

    def layers(self) -> list[LayerView]:
        """One view for each routing."""
        return [LayerView(self, name, layer) for name, layer in self.records.layers.items()]


@dataclass(frozen=True)
class LayerView:
    """One routing of a run."""

    run: RunView
    name: str
    layer: LayerRecords

    @property
    def prefix(self) -> str:
        """What names of its figures and metrics start with: its name where there are several."""
        return layer_prefix(self.run.records, self.name)


# What a file of this folder offers to the gallery, by file stem of the figure; None where a run has
# nothing to draw it from.
RunFigures = Mapping[str, Callable[[RunView], Figure | None]]
LayerFigures = Mapping[str, Callable[[LayerView], Figure | None]]
