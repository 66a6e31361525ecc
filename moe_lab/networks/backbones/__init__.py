"""Networks before router and experts: images [B, channels, height, width] -> features [B, ...]."""

from moe_lab.networks.backbones.airbench import Airbench
from moe_lab.networks.backbones.conv import Conv
from moe_lab.networks.backbones.flatten import Flatten
from moe_lab.networks.backbones.patch import Patch
from moe_lab.networks.backbones.resnet18 import ResNet18
from moe_lab.networks.backbones.se_resnet import SEResNet
from moe_lab.networks.backbones.stem import Stem
from moe_lab.networks.backbones.wide_resnet import WideResNet

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
