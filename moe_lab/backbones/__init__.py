"""What comes before router and experts: images [B, channels, height, width] -> features [B,
...].
"""

from moe_lab.backbones.conv import Conv
from moe_lab.backbones.flatten import Flatten
from moe_lab.backbones.patch import Patch

__all__ = ["Conv", "Flatten", "Patch"]
