"""Guided routing: labels say which expert should be selected, in the loss and never in the forward
pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class LabelAssignment(RoutingTerm):
    """Cross-entropy of the router's probs with the expert that owns the label.

    form=cross_entropy: mean of -log p_owner, log E at uniform probs. form=binary: mean over images
    and experts of -log p_owner and -log(1 - p_e) for all others. `owners` names the expert of each
    class, [C]; by default classes are assigned in contiguous blocks, class c to expert
    floor(c E / C), which leaves experts without a class where E > C.
    """

    def __init__(
        self,
        form: Literal["cross_entropy", "binary"] = "cross_entropy",
        owners: Sequence[int] | int | None = None,
        num_classes: int | None = None,
        num_experts: int | None = None,
    ) -> None:
        if form not in ("cross_entropy", "binary"):
            raise ValueError(f"form must be cross_entropy or binary, got {form!r}")
        owners = [owners] if isinstance(owners, int) else owners
        if owners is not None:
            _check_owners(owners, num_classes, num_experts)
        self.form = form
        # [C]; moved to the labels' device in use, since a term is no module and has no device.
        self.owners = None if owners is None else torch.tensor(owners)

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        probs = output.routing.probs.float()
        if self.owners is None:
            owner = block_owner(target, output.log_probs.shape[-1], probs.shape[-1])
        else:
            owner = self.owners.to(target.device)[target]  # [B]
        assign = assignment if self.form == "cross_entropy" else binary_assignment
        return assign(probs, owner)


def block_owner(target: Tensor, num_classes: int, num_experts: int) -> Tensor:
    """The expert of each label where classes are assigned in contiguous, balanced blocks.
    [B] -> [B]
    """
    # In whole numbers: with floats, c E / C may round down to the block before.
    return target * num_experts // num_classes


def assignment(probs: Tensor, owner: Tensor) -> Tensor:
    """Mean of -log p_owner. [B, E], [B] -> []"""
    return functional.nll_loss(_log(probs), owner)


def binary_assignment(probs: Tensor, owner: Tensor) -> Tensor:
    """Mean binary cross-entropy of each probability with 1 for the owner, 0 for others.
    [B, E], [B] -> []
    """
    owns = functional.one_hot(owner, probs.shape[-1]).bool()
    return -torch.where(owns, _log(probs), _log(1 - probs)).mean()


def _log(probs: Tensor) -> Tensor:
    """The logarithm, finite at 0: sparse routers give probabilities of exactly 0 and 1."""
    return probs.clamp(min=torch.finfo(probs.dtype).tiny).log()


def _check_owners(owners: Sequence[int], num_classes: int | None, num_experts: int | None) -> None:
    if num_classes is not None and len(owners) != num_classes:
        raise ValueError(
            f"label_assignment.owners must name one expert for each of {num_classes} classes, got "
            f"{len(owners)}"
        )
    limit = max(owners) + 1 if num_experts is None else num_experts
    wrong = [owner for owner in owners if not 0 <= owner < limit]
    if wrong:  # as an index it would fail in the middle of a run, on a GPU without a message
        raise ValueError(f"label_assignment.owners must be experts 0..{limit - 1}, got {wrong[0]}")
