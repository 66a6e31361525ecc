"""How long a prediction takes, measured so that rows can be compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from moe_lab.training.load_run import load

ROUNDS = 30
WARM_UP_ROUNDS = 3


@torch.inference_mode()
def forward_seconds(
    runs: Mapping[str, Path], shape: list[int], batch_size: int = 128
) -> dict[str, float]:
    """Median seconds of one forward pass of each run's best weights on a random batch.

    The rows take turns in every round, so that a busy moment of the machine hits all of them.
    """
    models = {name: load(path).model.eval() for name, path in runs.items()}
    images = torch.randn(batch_size, *shape)
    taken: dict[str, list[float]] = {name: [] for name in models}
    for round_number in range(WARM_UP_ROUNDS + ROUNDS):
        for name, model in models.items():
            started = time.perf_counter()
            model(images)
            if round_number >= WARM_UP_ROUNDS:
                taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in taken.items()}
