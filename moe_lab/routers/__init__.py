"""Who is asked: features [B, ...] -> Routing [B, E]. One algorithm a file, each with a gate as a
part.
"""

from moe_lab.routers.base import AnswerRouter, Router
from moe_lab.routers.gates import Gate, LinearGate, MLPGate
from moe_lab.routers.noisy_top_k import NoisyTopKRouter
from moe_lab.routers.softmax import SoftmaxRouter
from moe_lab.routers.top_k import TopKRouter

__all__ = [
    "AnswerRouter",
    "Gate",
    "LinearGate",
    "MLPGate",
    "NoisyTopKRouter",
    "Router",
    "SoftmaxRouter",
    "TopKRouter",
]
