"""Banks of experts: features [B, ...] and a plan of N pairs -> expert outputs [N, out]."""

from moe_lab.experts.any_network import network_expert_list
from moe_lab.experts.attention import AttentionExperts
from moe_lab.experts.bank import ExpertBank
from moe_lab.experts.conv import ConvNetExperts
from moe_lab.experts.deep import DeepExperts
from moe_lab.experts.expert_list import ExpertList, mlp_expert_list
from moe_lab.experts.mixed import mixed_expert_list
from moe_lab.experts.mlp import MLPExperts
from moe_lab.experts.residual import ResidualExperts
from moe_lab.experts.se_conv import SEConvExpert, se_conv_expert_list
from moe_lab.experts.shared import SharedExperts
from moe_lab.experts.swiglu import SwiGLUExperts
from moe_lab.experts.zero import ZeroExperts

__all__ = [
    "AttentionExperts",
    "ConvNetExperts",
    "DeepExperts",
    "ExpertBank",
    "ExpertList",
    "MLPExperts",
    "ResidualExperts",
    "SEConvExpert",
    "SharedExperts",
    "SwiGLUExperts",
    "ZeroExperts",
    "mixed_expert_list",
    "mlp_expert_list",
    "network_expert_list",
    "se_conv_expert_list",
]
