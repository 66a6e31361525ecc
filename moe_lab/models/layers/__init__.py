"""Mixtures inside a network: a model has several such layers, each with its own router."""

from moe_lab.models.layers.attention import SelfAttention
from moe_lab.models.layers.capacity import within_capacity
from moe_lab.models.layers.conv_experts import ConvExperts
from moe_lab.models.layers.kernels import MixedKernels
from moe_lab.models.layers.maps import RoutedMaps
from moe_lab.models.layers.routed_layer import Routed, RoutedLayer, as_output
from moe_lab.models.layers.soft import SoftTokens
from moe_lab.models.layers.tokens import RoutedTokens

__all__ = [
    "ConvExperts",
    "MixedKernels",
    "Routed",
    "RoutedLayer",
    "RoutedMaps",
    "RoutedTokens",
    "SelfAttention",
    "SoftTokens",
    "as_output",
    "within_capacity",
]
