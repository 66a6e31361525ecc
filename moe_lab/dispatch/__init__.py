"""How rows reach the experts that are to see them: the plan of a batch and the grouped linear
layer.
"""

from moe_lab.dispatch.plan import Plan
from moe_lab.dispatch.stacked import StackedLinear

__all__ = ["Plan", "StackedLinear"]
