"""The contract of a router: features in, Routing out, always in float32."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from moe_lab.outputs import Routing


class AnswerRouter(nn.Module, ABC):
    """Decides from what all experts answer: features [B, ...], answers [B, E, D] -> Routing [B, E].

    Costs every expert on every image, which the counted FLOPs show. Otherwise as `Router`.
    """

    num_experts: int

    def forward(self, features: Tensor, answers: Tensor) -> Routing:
        with torch.autocast(features.device.type, enabled=False):
            return self.route(features.float(), answers.float())

    @abstractmethod
    def route(self, features: Tensor, answers: Tensor) -> Routing:
        """float32 features [B, ...] and answers [B, E, D] -> Routing."""


class Router(nn.Module, ABC):
    """Decides which experts answer for an image: features [B, ...] -> Routing [B, E].

    A new router implements `route` and nothing else. It may draw noise only while `self.training`,
    keeps no state about the batch, and knows neither losses nor experts.
    """

    num_experts: int

    def forward(self, features: Tensor) -> Routing:
        # Half precision turns close scores into ties and moves images between experts, so
        # autocast stops here whatever the rest of the network runs in.
        with torch.autocast(features.device.type, enabled=False):
            return self.route(features.float())

    @abstractmethod
    def route(self, features: Tensor) -> Routing:
        """float32 features [B, ...] -> Routing."""
