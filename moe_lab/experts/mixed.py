"""Experts of different kinds in one bank."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import final

from torch import Tensor, nn

from moe_lab.dispatch import Plan
from moe_lab.experts.bank import ExpertBank
from moe_lab.experts.expert_list import ExpertList


@final
class SingleExpert(nn.Module):
    """A bank of one expert as a plain module. [n, ...] -> [n, out]"""

    def __init__(self, bank: ExpertBank) -> None:
        super().__init__()
        if bank.num_experts != 1:
            raise ValueError(
                f"an entry of expert.experts is one expert, got a bank of {bank.num_experts}"
            )
        self.bank = bank

    def forward(self, features: Tensor) -> Tensor:
        every_image = Plan.every(features.shape[0], 1, features.device)
        outputs: Tensor = self.bank(features, every_image)
        return outputs


def mixed_expert_list(
    num_experts: int,
    in_features: int,
    hidden: int | list[int],
    out_features: int,
    experts: Sequence[partial[ExpertBank]],
) -> ExpertList:
    """One expert per entry of `experts`, from the first again until there are `num_experts`.

    An entry gets the sizes given here, except those that it names itself. More entries than experts
    are refused, except where there is one expert, which is then the first entry.
    """
    if not experts or len(experts) > num_experts > 1:
        raise ValueError(
            f"expert.experts must list 1..num_experts = 1..{num_experts} experts, got "
            f"{len(experts)}"
        )
    sizes = {
        "num_experts": 1, "in_features": in_features, "hidden": hidden,
        "out_features": out_features,
    }  # fmt: skip
    # Partial, so that each expert is built anew: built ones would share their weights.
    kinds = [experts[index % len(experts)] for index in range(num_experts)]
    built = [SingleExpert(kind.func(*kind.args, **(sizes | kind.keywords))) for kind in kinds]
    return ExpertList(built, out_features, in_features)
