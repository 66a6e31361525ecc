"""The weight of a loss term: constant, or scheduled over training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from moe_lab.networks import progress

CURVES = ("constant", *progress.PROGRESS_CURVES)


@dataclass(frozen=True)
class Weight:
    """From `start` at the first step to `end` at the last, along `curve`."""

    start: float
    end: float
    curve: str = "linear"

    @classmethod
    def of_entry(cls, name: str, entry: Mapping[str, Any]) -> Weight:
        """The weight of `{weight, schedule: {curve, end}}`; refuses impossible schedules."""
        key, schedule = f"loss.terms.{name}", entry.get("schedule") or {}
        curve, end = schedule.get("curve", "linear"), schedule.get("end")
        start = float(entry["weight"])
        if start < 0:
            raise ValueError(f"{key}.weight must be at least 0, got {start:g}")
        if curve not in CURVES:
            raise ValueError(
                f"{key}.schedule.curve must be one of {', '.join(CURVES)}, got {curve!r}"
            )
        if end is None:
            return cls(start, start)
        if end < 0:
            raise ValueError(f"{key}.schedule.end must be at least 0 or null, got {end:g}")
        # Refused, since one of the two settings would have no effect.
        if curve == "constant" and end != start:
            raise ValueError(
                f"{key}.schedule.end is {end:g}, but curve=constant stays at {start:g}: use "
                f"another curve, or end=null"
            )
        # A geometric curve multiplies: from 0 it never leaves, and it never gets there.
        if curve == "exponential" and not (start > 0 and end > 0):
            raise ValueError(
                f"{key}.schedule.curve=exponential cannot reach or leave 0, got {start:g} to "
                f"{end:g}: use linear or cosine"
            )
        return cls(start, float(end), curve)

    @property
    def is_zero(self) -> bool:
        return self.start == self.end == 0

    @property
    def moves(self) -> bool:
        return self.start != self.end

    def at(self, fraction: Tensor) -> Tensor | float:
        """The weight when `fraction` [] of training is done."""
        # A Python number where it can be: multiplying by it is exact and needs no device.
        if not self.moves:
            return self.start
        return progress.interpolate(self.curve, self.start, self.end, fraction)
