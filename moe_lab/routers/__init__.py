"""Which experts are selected, and with which weight: features [B, ...] -> Routing [B, E]. One
algorithm per file, most with a gate as a part.
"""

from moe_lab.routers.attention import AttentionRouter
from moe_lab.routers.base import ExpertOutputRouter, Router, RowSum
from moe_lab.routers.cosine import CosineRouter
from moe_lab.routers.entropy import EntropyRouter
from moe_lab.routers.expert_choice import ExpertChoiceRouter
from moe_lab.routers.gates import ConvGate, Gate, LinearGate, MLPGate, NetworkGate
from moe_lab.routers.gumbel import GumbelRouter
from moe_lab.routers.hash import HashRouter
from moe_lab.routers.loss_predicting import LossPredictingRouter
from moe_lab.routers.noisy_top_k import NoisyTopKRouter
from moe_lab.routers.oracle import OracleRouter
from moe_lab.routers.random import RandomRouter
from moe_lab.routers.relu import ReLURouter
from moe_lab.routers.sigmoid_balanced import SigmoidBalancedRouter
from moe_lab.routers.sinkhorn import SinkhornRouter
from moe_lab.routers.softmax import SoftmaxRouter
from moe_lab.routers.temperature import (
    FixedTemperature,
    LearnableTemperature,
    ScheduledTemperature,
    Temperature,
)
from moe_lab.routers.threshold import ThresholdRouter
from moe_lab.routers.top_k import TopKRouter
from moe_lab.routers.tree import TreeRouter
from moe_lab.routers.uniform import UniformRouter

__all__ = [
    "AttentionRouter",
    "ConvGate",
    "CosineRouter",
    "EntropyRouter",
    "ExpertChoiceRouter",
    "ExpertOutputRouter",
    "FixedTemperature",
    "Gate",
    "GumbelRouter",
    "HashRouter",
    "LearnableTemperature",
    "LinearGate",
    "LossPredictingRouter",
    "MLPGate",
    "NetworkGate",
    "NoisyTopKRouter",
    "OracleRouter",
    "RandomRouter",
    "ReLURouter",
    "Router",
    "RowSum",
    "ScheduledTemperature",
    "SigmoidBalancedRouter",
    "SinkhornRouter",
    "SoftmaxRouter",
    "Temperature",
    "ThresholdRouter",
    "TopKRouter",
    "TreeRouter",
    "UniformRouter",
]
