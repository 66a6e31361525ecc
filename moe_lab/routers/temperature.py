"""Temperatures: what logits are divided by, fixed, learned, or scheduled over training.

Above 1 a softmax becomes softer, below 1 sharper.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from moe_lab.networks.progress import PROGRESS_CURVES, FollowsProgress, interpolate

# The floor under a learned temperature: without it the softmax can saturate, where the gate has no
# gradient any more (the value in X-MoE's code, Chi et al. 2022).
MIN_LEARNED = 0.01


class Temperature(nn.Module, ABC):
    """A positive number that divides logits: () -> []."""

    @abstractmethod
    def forward(self) -> Tensor:
        """The temperature now: [] float32, above 0."""


@final
class FixedTemperature(Temperature):
    """Always `value`."""

    value: Tensor  # [], not stored with the weights: it is a setting

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        if value <= 0:
            raise ValueError(f"temperature must be above 0, got {value}")
        self.register_buffer("value", torch.tensor(float(value)), persistent=False)

    def forward(self) -> Tensor:
        return self.value


@final
class LearnableTemperature(Temperature):
    """0.01 + exp(log_excess), learned with the gate, initially `value`."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        if value <= MIN_LEARNED:
            raise ValueError(f"temperature must be above {MIN_LEARNED}, got {value}")
        # A logarithm is learned, so that no step of the optimizer can make the value negative.
        self.log_excess = nn.Parameter(torch.tensor(math.log(value - MIN_LEARNED)))

    def forward(self) -> Tensor:
        return MIN_LEARNED + self.log_excess.exp()


@final
class ScheduledTemperature(FollowsProgress, Temperature):
    """From `start` at the first step to `end` at the last, along a curve."""

    def __init__(self, curve: str, start: float = 2.0, end: float = 0.5) -> None:
        super().__init__()
        if curve not in PROGRESS_CURVES:
            raise ValueError(
                f"temperature.curve must be one of {', '.join(PROGRESS_CURVES)}, got {curve!r}"
            )
        for name, value in (("start", start), ("end", end)):
            if value <= 0:
                raise ValueError(f"temperature.{name} must be above 0, got {value}")
        self.curve, self.start, self.end = curve, start, end

    def forward(self) -> Tensor:
        return interpolate(self.curve, self.start, self.end, self.fraction)


def moving_temperature(router: nn.Module) -> Tensor | None:
    """The temperature of a router now, [], if it has one that is learned or scheduled."""
    for module in router.modules():
        if isinstance(module, LearnableTemperature | ScheduledTemperature):
            return module().detach()
    return None


def as_temperature(temperature: Temperature | float) -> Temperature:
    """A number as a fixed temperature; a Temperature as it is."""
    return temperature if isinstance(temperature, Temperature) else FixedTemperature(temperature)
