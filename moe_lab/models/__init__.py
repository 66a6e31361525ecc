"""What turns images into an Output: here, and only here, backbone, router, experts, combine
meet.
"""

from moe_lab.models.adaptive_depth import AdaptiveDepth
from moe_lab.models.base import Model
from moe_lab.models.iwmn import IWMN
from moe_lab.models.mixture import Mixture
from moe_lab.models.recurrent import Recurrent
from moe_lab.models.single import Single
from moe_lab.models.soft_moe import SoftMoE

__all__ = ["IWMN", "AdaptiveDepth", "Mixture", "Model", "Recurrent", "Single", "SoftMoE"]
