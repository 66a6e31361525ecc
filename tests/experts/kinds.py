"""Every bank of the catalogue, small."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from moe_lab.experts import (
    AttentionExperts,
    ConvNetExperts,
    DeepExperts,
    ExpertBank,
    MLPExperts,
    ResidualExperts,
    SharedExperts,
    SwiGLUExperts,
    ZeroExperts,
    mixed_expert_list,
    mlp_expert_list,
    network_expert_list,
    se_conv_expert_list,
)
from moe_lab.networks.backbones import Flatten

SHAPE, D, C = (2, 4, 4), 32, 7
KINDS: dict[str, Callable[..., ExpertBank]] = {
    "mlp": MLPExperts,
    "mlp_list": mlp_expert_list,
    "deep": DeepExperts,
    "residual": ResidualExperts,
    "attention": AttentionExperts,
    "swiglu": SwiGLUExperts,
    "conv": partial(ConvNetExperts, in_shape=SHAPE, channels=[4, 5]),
    "conv_tiny": partial(ConvNetExperts, in_shape=SHAPE, channels=2),
    "se_conv": partial(se_conv_expert_list, in_shape=SHAPE, channels=[5, 5]),
    "network": partial(network_expert_list, in_shape=SHAPE, network=partial(Flatten, SHAPE, D)),
    "zero": ZeroExperts,
    "shared": partial(SharedExperts, num_shared=2, shared_hidden=5),
    "mixed": partial(mixed_expert_list, experts=[partial(DeepExperts)]),
}
WITH_DROPOUT = [kind for kind in KINDS if kind != "mixed"]


def make(kind: str, num_experts: int = 4, **change: object) -> ExpertBank:
    sizes = {"num_experts": num_experts, "in_features": D, "hidden": 8, "out_features": C}
    return KINDS[kind](**(sizes | change))
