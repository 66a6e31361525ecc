"""The contract of a router: features in, Routing out, always in float32."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from moe_lab.outputs import Routing

RowSum = Literal["one", "at most one", "free"]


class ExpertOutputRouter(nn.Module, ABC):
    """Reads the outputs of all experts: features [B, ...], outputs [B, E, C] -> Routing [B, E].

    Costs every expert on every image, which the counted FLOPs show. Otherwise as `Router`.
    """

    num_experts: int
    row_sum: RowSum  # as in Router

    def forward(self, features: Tensor, outputs: Tensor) -> Routing:
        with torch.autocast(features.device.type, enabled=False):
            return self.route(features.float(), outputs.float())

    @abstractmethod
    def route(self, features: Tensor, outputs: Tensor) -> Routing:
        """float32 features [B, ...] and expert outputs [B, E, C] -> Routing."""


class Router(nn.Module, ABC):
    """Selects the experts of each image: features [B, ...] -> Routing [B, E].

    A new router implements `route`, says what its rows of weights sum to, and nothing else. It may
    draw noise and read other images of the batch only while `self.training`, keeps no state about
    the last batch, and knows neither losses nor experts. A running statistic is a persistent
    float32 buffer that is updated in training alone, once per optimizer step (`FollowsSteps`).
    """

    num_experts: int
    # What the weights of an image sum to, in training and in evaluation: "one"; "at most one",
    # where the rest counts as the uniform prediction; or "free", any sum that is not negative.
    row_sum: RowSum
    # True for a control that takes the true domain of each image: forward(features, domain).
    reads_domain: ClassVar[bool] = False

    def forward(self, features: Tensor) -> Routing:
        # Half precision turns close scores into ties and moves images between experts, so
        # autocast stops here whatever the rest of the network runs in.
        with torch.autocast(features.device.type, enabled=False):
            return self.route(features.float())

    @abstractmethod
    def route(self, features: Tensor) -> Routing:
        """float32 features [B, ...] -> Routing."""


@torch.no_grad()
def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean over the processes of a distributed run, so that all keep the same statistics.
    [...] -> [...]
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        values = values.clone()
        torch.distributed.all_reduce(values)
        values /= torch.distributed.get_world_size()
    return values
