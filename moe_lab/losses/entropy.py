"""The entropy of the router's probabilities for an image (Peralta et al. 2019 maximise it)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class Entropy(RoutingTerm):
    """Mean over images of H(probs) / log E, in 0..1, or its negative where it is maximised.

    Minimised alone it leads to collapse: one expert for all images has entropy 0.
    """

    always_positive = False  # 0 once the router is certain

    def __init__(self, direction: Literal["minimise", "maximise"] = "minimise") -> None:
        if direction not in ("minimise", "maximise"):
            raise ValueError(f"direction must be minimise or maximise, got {direction!r}")
        self.direction = direction

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        value = normalised_entropy(output.routing.probs.float()).mean()
        return value if self.direction == "minimise" else -value


def entropy(probs: Tensor) -> Tensor:
    """-sum p log p in nats, with a finite gradient at 0. [..., E] -> [...]"""
    # xlogy and entr have an infinite slope at 0, which the backward of a softmax turns into NaN.
    return -(probs * probs.clamp(min=torch.finfo(probs.dtype).tiny).log()).sum(-1)


def normalised_entropy(probs: Tensor) -> Tensor:
    """Entropy divided by log E, its maximum; 0 where E is 1. [..., E] -> [...]"""
    # log 1 is 0, and so is the entropy of one outcome: dividing it by 1 keeps it 0.
    return entropy(probs) / (math.log(probs.shape[-1]) or 1.0)
