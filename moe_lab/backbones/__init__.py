"""What comes before router and experts: images [B, channels, height, width] -> features [B,
...].
"""

from moe_lab.backbones.conv import Conv
from moe_lab.backbones.flatten import Flatten

__all__ = ["Conv", "Flatten"]
