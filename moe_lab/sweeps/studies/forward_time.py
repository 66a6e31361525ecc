"""How long a prediction takes, measured so that rows compare, if the machine lets it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from moe_lab.training.load_run import load

ROUNDS = {1: 100, 128: 40, 1024: 16}  # images in a pass -> rounds, an even number
WARM_UP_ROUNDS = 3
TOLERANCE = 0.10  # by how much the two halves of a measurement may differ on a quiet machine
ATTEMPTS = 3

Model = Callable[[Tensor], object]


@dataclass(frozen=True)
class ForwardTime:
    """Seconds of one forward pass, over all rounds."""

    minimum: float
    median: float


@dataclass(frozen=True)
class ForwardTimes:
    """Row -> images in a pass -> time; `disagreement` is the largest relative difference between
    the medians of the first and the second half of the rounds.
    """

    rows: Mapping[str, Mapping[int, ForwardTime]]
    disagreement: float

    @property
    def quiet(self) -> bool:
        """Whether the machine was left alone, as far as the measurement can tell."""
        return self.disagreement <= TOLERANCE


def forward_times(runs: Mapping[str, Path], shape: Sequence[int]) -> ForwardTimes:
    """Times of each run's best weights on random images of this shape; of up to three measurements
    the first on a quiet machine, else the last.
    """
    models = {name: load(path).model.eval() for name, path in runs.items()}
    for _ in range(ATTEMPTS):
        found = measure(models, shape)
        if found.quiet:
            break
    return found


@torch.inference_mode()
def measure(models: Mapping[str, Model], shape: Sequence[int]) -> ForwardTimes:
    """One measurement. The rows take turns in every round, so that a busy moment of the machine
    hits all of them.
    """
    rows: dict[str, dict[int, ForwardTime]] = {name: {} for name in models}
    disagreement = 0.0
    for batch_size, rounds in ROUNDS.items():
        images = torch.randn(batch_size, *shape)
        taken: dict[str, list[float]] = {name: [] for name in models}
        for round_number in range(WARM_UP_ROUNDS + rounds):
            for name, model in models.items():
                started = time.perf_counter()
                model(images)
                seconds = time.perf_counter() - started
                if round_number >= WARM_UP_ROUNDS:
                    taken[name].append(seconds)
        for name, times in taken.items():
            rows[name][batch_size] = ForwardTime(min(times), statistics.median(times))
            disagreement = max(disagreement, difference_of_halves(times))
    return ForwardTimes(rows, disagreement)


def difference_of_halves(times: Sequence[float]) -> float:
    """By what share the median of one half of the times exceeds that of the other."""
    half = len(times) // 2
    low, high = sorted((statistics.median(times[:half]), statistics.median(times[half:])))
    return high / low - 1
