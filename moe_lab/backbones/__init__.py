"""What comes before router and experts: images [B, channels, height, width] -> features [B,
...].
"""

from moe_lab.backbones.airbench import Airbench
from moe_lab.backbones.conv import Conv
from moe_lab.backbones.flatten import Flatten
from moe_lab.backbones.patch import Patch
from moe_lab.backbones.resnet18 import ResNet18
from moe_lab.backbones.se_resnet import SEResNet
from moe_lab.backbones.stem import Stem
from moe_lab.backbones.wide_resnet import WideResNet

__all__ = [
    "Airbench",
    "Conv",
    "Flatten",
    "Patch",
    "ResNet18",
    "SEResNet",
    "Stem",
    "WideResNet",
]
