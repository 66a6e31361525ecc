"""Squeeze-and-Excitation (Hu, Shen & Sun 2018, equations 2 to 4)."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from moe_lab.networks.perceptron import activation_module


@final
class SqueezeExcitation(nn.Module):
    """Each channel times a sigmoid gate that reads the means of all channels.
    [n, D, h, w] -> [n, D, h, w], D are channels here
    """

    def __init__(self, channels: int, reduction: int, activation: str = "relu") -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, hidden)
        self.activation = activation_module(activation)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, maps: Tensor) -> Tensor:
        means = maps.mean((2, 3))  # [n, D]
        gates: Tensor = self.excite(self.activation(self.squeeze(means))).sigmoid()  # [n, D]
        return maps * gates[:, :, None, None]
