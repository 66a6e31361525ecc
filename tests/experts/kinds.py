"""Every bank of the catalogue, small; an option that is not LISTED is built from its file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from omegaconf import DictConfig

from moe_lab.config.compose import assemble
from moe_lab.config.help import options
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
from moe_lab.training.build import build

SHAPE, D, C = (2, 4, 4), 32, 7


@cache
def composed(option: str) -> DictConfig:
    """A mixture of such experts for images of SHAPE."""
    settings = ("dataset=synthetic", f"dataset.size={list(SHAPE)}".replace(" ", ""))
    return assemble("standard", {"expert": option}, settings)


def of_option(option: str, **sizes: object) -> ExpertBank:
    """The bank of conf/expert/OPTION.yaml with these sizes."""
    bank: ExpertBank = build(composed(option).expert, **sizes)
    return bank


LISTED: dict[str, Callable[..., ExpertBank]] = {
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
OTHERS = [option for option in options("expert") if option not in LISTED]
KINDS = LISTED | {option: partial(of_option, option) for option in OTHERS}
WITH_DROPOUT = [
    *(kind for kind in LISTED if kind != "mixed"),
    *(option for option in OTHERS if "dropout" in composed(option).expert),
]


def make(kind: str, num_experts: int = 4, **change: object) -> ExpertBank:
    sizes = {"num_experts": num_experts, "in_features": D, "hidden": 8, "out_features": C}
    return KINDS[kind](**(sizes | change))
