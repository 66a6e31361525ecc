"""The share of training that is done and the end of each step, for the few parts that follow
them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

PROGRESS_CURVES = ("linear", "cosine", "exponential")


class FollowsProgress(nn.Module):
    """A module that may read `fraction`, the share of training that is done, in 0..1.

    The classifier sets it before every step. It is stored with the weights, so that a trained
    model is evaluated with the value that its training ended with.
    """

    fraction: Tensor  # [] float32

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fraction", torch.zeros(()))


def follow(root: nn.Module, fraction: float) -> None:
    """Set the fraction of every part of `root` that follows it."""
    for module in root.modules():
        if isinstance(module, FollowsProgress):
            # In place and without a new tensor: compiled code and moved devices keep their buffer.
            module.fraction.fill_(min(1.0, max(0.0, fraction)))


class FollowsSteps(nn.Module, ABC):
    """A module that updates a statistic once per optimizer step.

    A step may take several forward passes. What they see is summed in buffers that are not
    persistent, since they are empty whenever weights are saved.
    """

    @abstractmethod
    def end_step(self) -> None:
        """Update the statistic with what the forward passes since the last step have seen, of all
        processes, and forget it.
        """


def end_step(root: nn.Module) -> None:
    """Tell every part of `root` that follows steps that one is over."""
    for module in root.modules():
        if isinstance(module, FollowsSteps):
            module.end_step()


def interpolate(curve: str, start: float, end: float, fraction: Tensor) -> Tensor:
    """From `start` at fraction 0 to `end` at 1: linear, half a cosine, or geometric."""
    if curve == "linear":
        return start + (end - start) * fraction
    if curve == "cosine":
        return end + (start - end) * 0.5 * (1 + torch.cos(math.pi * fraction))
    # Callers refuse a start or an end of 0, which a geometric curve never reaches.
    return start * (end / start) ** fraction
