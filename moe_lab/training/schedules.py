"""Learning-rate schedules: pure functions of the step, so that a resumed run follows the same
curve.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass


class Schedule(ABC):
    """The learning rate at a step as a share of its peak."""

    @abstractmethod
    def at(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """Share of the peak at `step` (0 is the first), in 0..1."""


@dataclass(frozen=True)
class Constant(Schedule):
    """1 throughout."""

    def at(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return 1.0


@dataclass(frozen=True)
class WarmupCosine(Schedule):
    """Linear rise over `warmup` of all steps, then half a cosine down to `final` (Loshchilov &
    Hutter 2017).
    """

    warmup: float = 0.05
    final: float = 0.0

    def at(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        rising = math.ceil(self.warmup * total_steps)
        if step < rising:
            return (step + 1) / rising
        done = min(1.0, (step - rising) / max(1, total_steps - 1 - rising))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Half a cosine from `initial` up to 1, where `rise` of all steps are done, and half a cosine
    down to `final` (Smith & Topin 2018, with the cosines of torch's OneCycleLR). Momentum stays as
    it is.
    """

    rise: float = 0.3
    initial: float = 0.04
    final: float = 0.000004

    def at(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        top, last = self.rise * total_steps - 1, total_steps - 1
        if step < top:
            return half_cosine(self.initial, 1.0, step / top)
        return half_cosine(1.0, self.final, (step - top) / max(1.0, last - top))


@dataclass(frozen=True)
class Triangular(Schedule):
    """A straight line from `initial` up to 1, where `rise` of all steps are done, and one down to
    `final` after the last step.
    """

    rise: float = 0.2
    initial: float = 0.0
    final: float = 0.0

    def at(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        top = self.rise * total_steps
        if step < top:
            return self.initial + (1 - self.initial) * step / top
        done = min(1.0, (step - top) / max(1.0, total_steps - top))
        return 1 + (self.final - 1) * done


def half_cosine(start: float, end: float, done: float) -> float:
    """From `start` to `end` as `done` goes from 0 to 1, level at both."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@dataclass(frozen=True)
class Step(Schedule):
    """Multiplied by `factor` after every `every` epochs."""

    every: int = 10
    factor: float = 0.1

    def at(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return float(self.factor ** (step // steps_per_epoch // self.every))


@dataclass(frozen=True)
class Exponential(Schedule):
    """Multiplied by `factor` after every epoch."""

    factor: float = 0.9

    def at(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return float(self.factor ** (step // steps_per_epoch))


@dataclass(frozen=True)
class Plateau:
    """Multiplied by `factor` when val_loss has not fallen for `patience` validations; no function
    of the step.
    """

    patience: int = 3
    factor: float = 0.3
