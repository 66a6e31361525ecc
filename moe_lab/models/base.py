"""The contract of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar

from torch import Tensor, nn

from moe_lab.experts import ExpertBank
from moe_lab.outputs import Output


class Model(nn.Module, ABC):
    """Images [B, channels, height, width] -> Output; never sees a label.

    `every_expert` requests the outputs of experts that were not selected, too. A model keeps no
    state about a batch.
    """

    output_type: ClassVar[type[Output]] = Output

    def learns_only_from_prediction(self) -> str | None:
        """The part, if any, that only a loss on the combined prediction can teach."""
        return None

    def lacks(self) -> Collection[str]:
        """Fields of its output type that this model leaves None."""
        return ()

    def needs_terms(self) -> Mapping[str, str]:
        """Loss terms without which a part would not learn: {term: part}."""
        return {}

    def cannot_evaluate(self) -> str | None:
        """Why, if so, the model cannot predict without labels: no run can be made of it."""
        return None

    def routed_layers(self) -> Mapping[str, nn.Module]:
        """Every module with a `router` and a bank of `experts`, by the name of its routing."""
        # Parameters, FLOPs, health, warm starts and figures find the experts here: a model that
        # forgets a layer reports it as dense.
        return {}

    def is_taught(self) -> bool:
        """Whether a training step may depend on labels; forward never does."""
        return False

    def teach(self, images: Tensor, target: Tensor, *, every_expert: bool = False) -> Output:
        """The output of a training step with labels [B]. The same as forward, except for a model
        whose `is_taught` is true.
        """
        # A method of its own, so that `forward` has no argument through which a label could reach
        # a prediction.
        output: Output = self(images, every_expert=every_expert)
        return output

    def reads_domain(self) -> bool:
        """Whether a router in it is a control that is told the true domain of each image."""
        return False

    def with_domain(
        self, images: Tensor, domain: Tensor | None, *, every_expert: bool = False
    ) -> Output:
        """As forward; a model that `reads_domain` is told the domain [B] of each image as well."""
        # A method of its own, for the same reason as `teach`.
        output: Output = self(images, every_expert=every_expert)
        return output

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
            "row per image: use backbone=patch"
        )
    if has_tokens and not wanted:
        raise ValueError(
            "this model reads one row per image, but backbone=patch gives tokens: use "
            "model=soft_moe or vit_moe, or backbone=flatten or conv"
        )
    if not wanted:
        check_maps(backbone, wanted=False)


def check_maps(backbone: nn.Module, wanted: bool) -> None:
    """Refuse a backbone that gives maps to a model that reads rows, and the reverse."""
    has_maps = getattr(backbone, "gives_maps", False)
    if wanted and not has_maps:
        raise ValueError(
            "this model routes the maps of a convolutional network, but "
            f"backbone={type(backbone).__name__.lower()} gives none: use backbone=stem"
        )
    if has_maps and not wanted:
        raise ValueError(
            "this model reads one row per image, but backbone=stem gives maps: use model=conv_moe, "
            "or backbone=flatten or conv"
        )
