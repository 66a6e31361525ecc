"""What groups are compared by: a number of summary.json that the registry of metrics describes."""

from __future__ import annotations

from dataclasses import dataclass

from moe_lab.comparison.statistics import Interval
from moe_lab.config.spelling import nearest
from moe_lab.errors import ConfigError
from moe_lab.metrics.description import Metric
from moe_lab.metrics.registry import METRICS, find, lookup


@dataclass(frozen=True)
class Measure:
    """A number of summary.json of which more, or less, is better."""

    key: str

    @property
    def metric(self) -> Metric:
        return lookup(self.key).metric

    @property
    def name(self) -> str:
        return lookup(self.key).label

    @property
    def unit(self) -> str:
        """What differences are in, if in anything."""
        return "points" if self.metric.unit == "%" else self.metric.unit

    @property
    def heading(self) -> str:
        """The name with the unit that values are written in."""
        return f"{self.name}, {self.metric.unit}" if self.metric.unit else self.name

    def score(self, value: float) -> float:
        """The value such that more is better."""
        return self.metric.score(value)

    def show(self, value: float) -> str:
        return self.metric.number(value)

    def show_difference(self, value: float) -> str:
        """A difference in points, or in the unit of the values."""
        return f"{self.show(value)} {self.unit}".strip()

    def show_interval(self, interval: Interval | None) -> str:
        """[low, high], or nothing where there is none."""
        if interval is None:
            return ""
        return f"[{self.show(interval.low)}, {self.show(interval.high)}]"


def read_measure(key: str) -> Measure:
    """ConfigError for what no summary has, or what is neither better nor worse."""
    known = measured_names()
    found = find(key)
    of_run = found is not None and found.split != "train" and key not in ("accuracy", "loss")
    if found is None or not of_run or found.metric.better == "neither":
        raise ConfigError(
            f"by={key} says nothing that runs could be compared by{nearest(key, known)}",
            "a number of summary.json: " + ", ".join(known),
        )
    return Measure(key)


def measured_names() -> list[str]:
    """What summaries have of models with one router."""
    judged = [m for m in METRICS if m.better != "neither" and "" in m.splits and not m.family]
    first = ["test_accuracy", "val_accuracy", "test_loss", "val_loss"]
    return [*first, *(m.name for m in judged if m.name not in ("accuracy", "loss"))]
