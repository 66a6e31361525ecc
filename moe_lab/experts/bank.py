"""The contract of a bank of experts."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional

from moe_lab.dispatch import Plan
from moe_lab.networks.perceptron import check_positive
from moe_lab.networks.stacked import StackedLinear


class ExpertBank(nn.Module, ABC):
    """E experts behind one call: features [B, ...], plan of N pairs -> outputs [N, out], in the
    order of the plan. An expert without pairs is not computed.
    """

    def __init__(self, num_experts: int, in_features: int, out_features: int) -> None:
        super().__init__()
        check_positive(num_experts=num_experts, in_features=in_features, out_features=out_features)
        self.num_experts = num_experts
        self.in_features = in_features
        self.out_features = out_features

    @abstractmethod
    def forward(self, features: Tensor, plan: Plan) -> Tensor: ...

    @abstractmethod
    def parameters_per_expert(self) -> list[int]:
        """How many parameters each expert owns; what all of them share belongs to none."""


def first_layer(layer: StackedLinear, features: Tensor, plan: Plan) -> Tensor:
    """The layer on each pair's image, without copies of the images where the plan is dense.
    [B, ...] -> [N, H]
    """
    flat = features.flatten(1)  # [B, D]
    return layer.every(flat) if plan.is_dense else layer(plan.gather(flat), plan.counts)


def normalise(rows: Tensor) -> Tensor:
    """Each row minus its mean, divided by its standard deviation. [N, H] -> [N, H]"""
    # Not batch norm: an expert may see one image of a batch, or none, and its running statistics
    # would follow the router. Without gain and shift, which would be separate for every expert:
    # the linear layers before and after have both (Xu et al. 2019 find them of little use).
    return functional.layer_norm(rows, rows.shape[-1:])


def equal_share(bank: ExpertBank) -> list[int]:
    """The parameters of each expert of a bank whose weights are all stacked."""
    # Every parameter has a slice of the same size for each expert, so the division is exact.
    total = sum(parameter.numel() for parameter in bank.parameters())
    return [total // bank.num_experts] * bank.num_experts
