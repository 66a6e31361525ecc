"""What turns images into an Output: here, and only here, backbone, router, experts and combine
meet.
"""

from moe_lab.models.base import Model
from moe_lab.models.mixture import Mixture
from moe_lab.models.single import Single

__all__ = ["Mixture", "Model", "Single"]
