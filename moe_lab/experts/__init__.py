"""What the experts answer: features [B, ...] and a plan -> answers [N, D]."""

from moe_lab.experts.bank import ExpertBank
from moe_lab.experts.expert_list import ExpertList, mlp_expert, mlp_expert_list
from moe_lab.experts.mlp import MLPExperts

__all__ = ["ExpertBank", "ExpertList", "MLPExperts", "mlp_expert", "mlp_expert_list"]
