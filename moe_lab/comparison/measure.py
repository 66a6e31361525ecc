"""What groups are compared by, and how its values are written."""

from __future__ import annotations

from dataclasses import dataclass

from moe_lab.comparison.statistics import Interval


@dataclass(frozen=True)
class Measure:
    """A number of summary.json; shown times `scale` in `unit`."""

    key: str
    name: str
    unit: str
    scale: float
    decimals: int
    higher_is_better: bool

    def score(self, value: float) -> float:
        """The value such that more is better."""
        return value if self.higher_is_better else -value

    def show(self, value: float) -> str:
        return f"{self.scale * value:.{self.decimals}f}"

    def show_interval(self, interval: Interval | None) -> str:
        """[low, high], or nothing where there is none."""
        if interval is None:
            return ""
        return f"[{self.show(interval.low)}, {self.show(interval.high)}]"


MEASURES = {
    measure.key: measure
    for measure in (
        Measure("test_accuracy", "test accuracy", "points", 100.0, 2, True),
        Measure("val_accuracy", "validation accuracy", "points", 100.0, 2, True),
        Measure("test_loss", "test loss", "nats", 1.0, 4, False),
        Measure("val_loss", "validation loss", "nats", 1.0, 4, False),
    )
}
