"""The routings of a run, each with its own numbers and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MARK = "load_cv"  # every routing has it, with the layer's name in front where there are several


@dataclass(frozen=True)
class Layer:
    """One routing: its values under their plain names, and its tables where they were kept."""

    name: str
    values: Mapping[str, float]
    tables: Mapping[str, Any]
    only: bool  # the model has no other

    @property
    def num_experts(self) -> int | None:
        if self.tables.get("load"):
            return len(self.tables["load"])
        share, ratio = self.values.get("max_load_share"), self.values.get("max_load_ratio")
        return round(ratio / share) if share and ratio else None


def layers_of(summary: Mapping[str, Any], tables: Mapping[str, Any]) -> list[Layer]:
    """Every routing of a model in its order; none without a router or before a test."""
    marks = [key for key in summary if key == MARK or key.endswith(f"_{MARK}")]
    marks = [mark for mark in marks if not mark.startswith(("val_", "test_"))]
    prefixes = [mark.removesuffix(MARK) for mark in marks]
    kept = tables.get("layers", {})
    layers = []
    for prefix in prefixes:
        name = prefix.removesuffix("_") or next(iter(kept), "router")
        values = {
            key.removeprefix(prefix): value
            for key, value in summary.items()
            if key.startswith(prefix) and isinstance(value, float | int)
        }
        layers.append(Layer(name, values, kept.get(name, {}), only=len(prefixes) == 1))
    return layers
