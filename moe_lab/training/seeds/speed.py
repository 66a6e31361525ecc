"""How long a training step takes for all seeds together, and for one after the other."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from moe_lab.training.classifier import Classifier, parameter_groups
from moe_lab.training.seeds.stack import SeedBatch, TrainingStep

WARM_UP, LEAST, MOST = 2, 5, 25  # rounds
SECONDS = 2.0  # after which no round beyond the least is added


@dataclass(frozen=True)
class Speed:
    """Median seconds of one step of every seed."""

    together: float
    alone: float  # the sum over seeds, without what a training loop adds to each step

    def __str__(self) -> str:
        return (
            f"{1000 * self.together:.2f} ms a step, {1000 * self.alone:.2f} ms one after the other"
        )

    @property
    def is_faster_together(self) -> bool:
        return self.together < self.alone


def measure(classifiers: Sequence[Classifier], images: Tensor, target: Tensor) -> Speed:
    """Time both ways on copies, in turns, so that a busy moment of the machine hits both."""
    batch = SeedBatch(copy.deepcopy(list(classifiers)))
    alone = [Alone(classifier) for classifier in copy.deepcopy(list(classifiers))]

    def one_after_the_other() -> None:
        for seed, learner in enumerate(alone):
            learner.train(images[seed], target[seed])

    times: tuple[list[float], list[float]] = ([], [])
    started = time.perf_counter()
    for round_number in range(WARM_UP + MOST):
        found = (
            seconds(lambda: batch.train(images, target), images),
            seconds(one_after_the_other, images),
        )
        if round_number >= WARM_UP:
            for kept, value in zip(times, found, strict=True):
                kept.append(value)
        if len(times[0]) >= LEAST and time.perf_counter() - started > SECONDS:
            break
    return Speed(*map(statistics.median, times))


class Alone:
    """One classifier with an optimizer of its own."""

    def __init__(self, classifier: Classifier) -> None:
        assert classifier.optimizer is not None
        self.step = TrainingStep(classifier).train()
        self.optimizer = classifier.optimizer(
            parameter_groups(self.step.model, self.step.objective)
        )

    def train(self, images: Tensor, target: Tensor) -> None:
        self.optimizer.zero_grad()
        self.step(images, target)["loss"].backward()
        self.optimizer.step()


def seconds(work: Callable[[], object], like: Tensor) -> float:
    """What a call takes on the device of a tensor."""
    started = now(like.device)
    work()
    return now(like.device) - started


def now(device: torch.device) -> float:
    """The time at which the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
