"""The contract of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from moe_lab.experts import ExpertBank
from moe_lab.outputs import Output


class Model(nn.Module, ABC):
    """Images [B, channels, height, width] -> Output; never sees a label.

    `every_expert` asks for the answers of experts that were not chosen too. A model keeps nothing
    about a batch.
    """

    output_type: ClassVar[type[Output]] = Output

    @abstractmethod
    def forward(self, images: Tensor, *, every_expert: bool = False) -> Output:
        """Normalised images [B, channels, height, width] -> Output."""


def check_expert_count(experts: ExpertBank, num_experts: int) -> None:
    """Refuse a bank of another size than the model's."""
    if experts.num_experts != num_experts:
        raise ValueError(
            f"model.num_experts is {num_experts}, but the bank holds {experts.num_experts} experts"
        )
