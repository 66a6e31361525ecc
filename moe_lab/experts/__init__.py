"""Experts: who answers, and the plan that says which expert sees which image."""

from moe_lab.experts.bank import ExpertBank
from moe_lab.experts.expert_list import ExpertList, mlp_expert, mlp_expert_list
from moe_lab.experts.mlp import MLPExperts
from moe_lab.experts.plan import Plan
from moe_lab.experts.stacked import StackedLinear

__all__ = [
    "ExpertBank",
    "ExpertList",
    "MLPExperts",
    "Plan",
    "StackedLinear",
    "mlp_expert",
    "mlp_expert_list",
]
