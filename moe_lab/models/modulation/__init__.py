"""Networks whose inner quantities a modulator may move from pass to pass."""

from moe_lab.models.modulation.activation import ActivationModulated
from moe_lab.models.modulation.base import Modulated, Started
from moe_lab.models.modulation.channel import ChannelModulated
from moe_lab.models.modulation.modulator import Modulator, Modulators
from moe_lab.models.modulation.weight import WeightModulated

__all__ = [
    "ActivationModulated",
    "ChannelModulated",
    "Modulated",
    "Modulator",
    "Modulators",
    "Started",
    "WeightModulated",
]
