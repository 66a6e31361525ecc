"""The batch of all processes of a distributed run, whose loss then equals that of one process.

Balance terms are functions of means over the batch, not means over images; even a plain mean
differs where a short batch leaves some process one image fewer. So losses are not averaged: every
process computes the same loss from the same rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed

from moe_lab.outputs import MixtureOutput, Output

BATCH_SECOND = ("pass_log_probs", "modulation_norm", "halting", "predicted_error")  # [T, B, ...]
Change = Callable[[str, Tensor], Tensor]


def whole_batch(output: Output, target: Tensor, with_features: bool) -> tuple[Output, Tensor]:
    """Output and labels of all processes, those of the first one first; in a run of one process
    as they are.

    `features`, the largest part, are left out unless a term reads them.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return output, target
    if distributed.get_world_size() == 1:
        return output, target
    if not with_features and isinstance(output, MixtureOutput):
        output = dataclasses.replace(output, features=None)
    columns: list[Tensor] = [target.float()[:, None]]  # exact below 2^24 classes

    def take(name: str, tensor: Tensor) -> Tensor:
        rows = batch_first(name, tensor)
        assert len(rows) % len(target) == 0, f"the images of {name} are on another axis"
        columns.append(rows.reshape(len(target), -1).float())
        return tensor

    change(output, take)
    rows = gather_rows(torch.cat(columns, 1))  # one message instead of one a tensor
    labels, *parts = rows.split([column.shape[1] for column in columns], 1)
    left = iter(parts)

    def give(name: str, tensor: Tensor) -> Tensor:
        shape = batch_first(name, tensor).shape
        whole = next(left).reshape(-1, *shape[1:]).to(tensor.dtype)
        return batch_first(name, whole)

    return change(output, give), labels.flatten().to(target.dtype)


def batch_first(name: str, tensor: Tensor) -> Tensor:
    """[T, B, ...] <-> [B, T, ...] where passes come first; other tensors as they are."""
    return tensor.transpose(0, 1) if name in BATCH_SECOND else tensor


def change(part: Any, function: Change, name: str = "") -> Any:
    """The same structure with every tensor replaced by function(name of its field, tensor)."""
    if isinstance(part, Tensor):
        return function(name, part)
    if isinstance(part, Mapping):
        return {key: change(value, function, name) for key, value in part.items()}
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        names = [field.name for field in dataclasses.fields(part)]
        return dataclasses.replace(
            part, **{n: change(getattr(part, n), function, n) for n in names}
        )
    return part


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes [B_r, D] below each other, [B, D]; they may differ in number.

    Backwards, each process gets the gradient of its own rows times the number of processes: the
    average of gradients that follows then is the gradient of the common loss.
    """
    whole: Tensor = GatherRows.apply(rows)
    return whole


class GatherRows(torch.autograd.Function):
    """See `gather_rows`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        world, rank = distributed.get_world_size(), distributed.get_rank()
        counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world)]
        distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
        numbers: list[int] = torch.cat(counts).tolist()
        # all_gather takes tensors of one shape, and processes may have one image more or less.
        padded = rows.new_zeros(max(numbers), rows.shape[1])
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in range(world)]
        distributed.all_gather(found, padded)
        ctx.world, ctx.first, ctx.number = world, sum(numbers[:rank]), len(rows)
        return torch.cat([part[:number] for part, number in zip(found, numbers, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Nothing is sent: the others work out the same loss, and so the same gradient.
        return ctx.world * gradients[0].narrow(0, ctx.first, ctx.number)
