"""Networks with sites at which a modulator changes activations or weights from pass to pass."""

from moe_lab.models.modulation.activation import ActivationModulated
from moe_lab.models.modulation.base import Modulated, SharedState
from moe_lab.models.modulation.channel import ChannelModulated
from moe_lab.models.modulation.modulator import Modulator, Modulators
from moe_lab.models.modulation.weight import WeightModulated

__all__ = [
    "ActivationModulated",
    "ChannelModulated",
    "Modulated",
    "Modulator",
    "Modulators",
    "SharedState",
    "WeightModulated",
]
