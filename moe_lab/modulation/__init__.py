"""Networks whose inner quantities a modulator may move from pass to pass."""

from moe_lab.modulation.activation import ActivationModulated
from moe_lab.modulation.base import Modulated, Started
from moe_lab.modulation.channel import ChannelModulated
from moe_lab.modulation.modulator import Modulator, Modulators
from moe_lab.modulation.weight import WeightModulated

__all__ = [
    "ActivationModulated",
    "ChannelModulated",
    "Modulated",
    "Modulator",
    "Modulators",
    "Started",
    "WeightModulated",
]
