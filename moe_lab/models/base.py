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

    def learns_only_by_answer(self) -> str | None:
        """The part, if any, that no loss but one on the combined answer can teach."""
        return None

    @abstractmethod
    def forward(self, images: Tensor, *, every_expert: bool = False) -> Output:
        """Normalised images [B, channels, height, width] -> Output."""


def check_expert_count(experts: ExpertBank, num_experts: int) -> None:
    """Refuse a bank of another size than the model's."""
    if experts.num_experts != num_experts:
        raise ValueError(
            f"model.num_experts is {num_experts}, but the bank holds {experts.num_experts} experts"
        )


def check_tokens(backbone: nn.Module, wanted: bool) -> None:
    """Refuse a backbone that gives tokens to a model that routes images, and the reverse."""
    has_tokens = getattr(backbone, "tokens", None) is not None
    if wanted and not has_tokens:
        raise ValueError(
            f"this model routes tokens, but backbone={type(backbone).__name__.lower()} gives one "
            "row an image: use backbone=patch"
        )
    if has_tokens and not wanted:
        raise ValueError(
            "this model routes whole images, but backbone=patch gives tokens: use model=soft_moe, "
            "or backbone=flatten or conv"
        )
