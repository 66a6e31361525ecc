"""A mixture whose every prediction is known beforehand."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertBank
from moe_lab.models import Mixture
from moe_lab.models.combine import CombineLogits
from moe_lab.networks.backbones import Flatten
from moe_lab.routers import Gate, TopKRouter

E, C = 3, 3


class Scores(Gate):
    """The pixels of an image are the scores of the experts."""

    def __init__(self, num_experts: int) -> None:
        super().__init__()
        self.num_experts = num_experts

    def forward(self, features: Tensor) -> Tensor:
        return features


class Constant(ExpertBank):
    """Expert e predicts `classes[e]`, whatever it sees."""

    def __init__(self, classes: list[int]) -> None:
        super().__init__(len(classes), E, C)
        self.register_buffer("answers", 10 * torch.eye(C)[classes])

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        return self.answers[plan.expert]

    def parameters_per_expert(self) -> list[int]:
        return [0] * self.num_experts


def constant_mixture(classes: list[int], top_k: int = 1) -> Mixture:
    router = TopKRouter(Scores(E), top_k)
    return Mixture(Flatten((1, 1, E), E), router, Constant(classes), CombineLogits(), E).eval()


# Probabilities of the experts. First choices 0 0 0 1 1 2, second choices 1 1 2 0 2 1.
PROBS = [
    [0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.8, 0.05, 0.15],
    [0.2, 0.7, 0.1], [0.1, 0.5, 0.4], [0.1, 0.2, 0.7],
]  # fmt: skip
IMAGES = torch.tensor(PROBS).log().view(6, 1, 1, E)
TARGET = torch.tensor([0, 0, 0, 1, 1, 2])


def batches(*bounds: int) -> list[tuple[Tensor, Tensor]]:
    edges = [0, *bounds, 6]
    return [(IMAGES[a:b], TARGET[a:b]) for a, b in pairwise(edges)]
