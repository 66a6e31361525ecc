"""Refuses numbers that are NaN or infinite: a run that ends with them has failed."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from moe_lab.errors import UserError


def refuse_training_loss(sums: Tensor | None, epoch: int) -> None:
    """UserError where the sums of an epoch's training are not finite; epochs count from 1."""
    if sums is not None and not bool(sums.isfinite().all()):
        raise not_finite(f"the training loss became NaN or infinite in epoch {epoch}")


def refuse_weights(model: nn.Module, epoch: int | None) -> None:
    """UserError where a weight or a stored statistic is not finite, by the end of `epoch` where
    training goes on, in an evaluation without one.
    """
    state = model.state_dict().values()
    finite = [part.isfinite().all() for part in state if part.is_floating_point()]
    if finite and not bool(torch.stack(finite).all()):
        if epoch is None:
            raise not_finite("the weights are NaN or infinite")
        raise not_finite(f"the weights became NaN or infinite in epoch {epoch}")


def refuse_nan(loss: float, split: str) -> None:
    """UserError where the loss of a final evaluation is no number."""
    if math.isnan(loss):
        raise not_finite(f"the {split} loss is NaN")


def not_finite(wrong: str) -> UserError:
    return UserError(
        wrong,
        "finite numbers",
        "lower optimizer.lr, set trainer.gradient_clip_val=1, or find the operation with "
        "debug=anomaly",
    )
