"""What is minimised: pure terms (Output, target) -> scalar, and the Objective that weighs and
names them.
"""

from moe_lab.losses.cross_entropy import CrossEntropy
from moe_lab.losses.importance import Importance
from moe_lab.losses.objective import Loss, Objective
from moe_lab.losses.router_z import RouterZ
from moe_lab.losses.switch_balance import SwitchBalance
from moe_lab.losses.term import Term

__all__ = [
    "CrossEntropy",
    "Importance",
    "Loss",
    "Objective",
    "RouterZ",
    "SwitchBalance",
    "Term",
]
