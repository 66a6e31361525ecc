"""Images -> Output: only in this room do backbone, router, experts and combine rule meet."""

from moe_lab.models.adaptive_depth import AdaptiveDepth
from moe_lab.models.base import Model
from moe_lab.models.conv_moe import ConvMoE, conv_moe
from moe_lab.models.iwmn import IWMN
from moe_lab.models.mixture import Mixture
from moe_lab.models.recurrent import Recurrent
from moe_lab.models.single import Single
from moe_lab.models.soft_moe import SoftMoE
from moe_lab.models.vit_moe import ViTMoE, vit_moe, vit_soft_moe

__all__ = [
    "IWMN",
    "AdaptiveDepth",
    "ConvMoE",
    "Mixture",
    "Model",
    "Recurrent",
    "Single",
    "SoftMoE",
    "ViTMoE",
    "conv_moe",
    "vit_moe",
    "vit_soft_moe",
]
