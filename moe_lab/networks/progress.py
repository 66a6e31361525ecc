"""How far training has come, for the few parts that change with it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

CURVES = ("linear", "cosine", "exponential")


class FollowsProgress(nn.Module):
    """A module that may read `fraction`, the share of training that is done, in 0..1.

    The classifier sets it before every step. It is stored with the weights, so that a trained
    model evaluates as it was when training ended.
    """

    fraction: Tensor  # [] float32

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fraction", torch.zeros(()))


def follow(root: nn.Module, fraction: float) -> None:
    """Tell every part of `root` how far training has come."""
    for module in root.modules():
        if isinstance(module, FollowsProgress):
            module.fraction.fill_(min(1.0, max(0.0, fraction)))


def interpolate(curve: str, start: float, end: float, fraction: Tensor) -> Tensor:
    """From `start` at fraction 0 to `end` at 1: linear, half a cosine, or geometric."""
    if curve == "linear":
        return start + (end - start) * fraction
    if curve == "cosine":
        return end + (start - end) * 0.5 * (1 + torch.cos(math.pi * fraction))
    return start * (end / start) ** fraction
