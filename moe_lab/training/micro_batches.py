"""A training step on more images than memory holds activations of, whose loss is that of all of
them.

Gradients of micro-batches are usually averaged. That weighs the images of a short micro-batch more,
and a term that reads the whole batch, such as load balancing, would see one micro-batch. Here only
the outputs of all micro-batches are kept; the loss is computed from all of them at once, and in the
backward pass each micro-batch is computed again (Chen et al. 2016, arXiv 1604.06174).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from moe_lab.losses.whole_batch import BATCH_SECOND, change
from moe_lab.outputs import Output

# Images [B, ...], labels [B] and whatever else is known of each image -> output of B images.
Teach = Callable[..., Output]


def in_micro_batches(
    teach: Teach, model: nn.Module, images: Tensor, target: Tensor, most: int, *more: Tensor
) -> Output:
    """The output of `teach` for all images [B, ...], labels [B] and `more` [B], computed for at
    most `most` at a time; in one piece, without any extra work, where that is enough.

    The parts are as equal as can be, since batch norm cannot train on a last part of one image. The
    random numbers of a part are the same when it is computed again, and buffers of `model`, such
    as running statistics, keep what the first time made of them.
    """
    count = -(-len(target) // most)
    if count <= 1:
        return teach(images, target, *more)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), KeptBuffers(model)

    given = (images, target, *more)
    parts = zip(*(tensor.tensor_split(count) for tensor in given), strict=True)
    return joined(
        [checkpoint(teach, *part, use_reentrant=False, context_fn=contexts) for part in parts]
    )


def joined(outputs: Sequence[Output]) -> Output:
    """The outputs of parts of a batch as one, in their order."""
    fields = zip(*map(tensors_of, outputs), strict=True)

    def put_together(name: str, tensor: Tensor) -> Tensor:
        return torch.cat(next(fields), dim=1 if name in BATCH_SECOND else 0)

    whole: Output = change(outputs[0], put_together)
    return whole


def tensors_of(output: Output) -> list[Tensor]:
    """All that an output holds, in one order for all outputs of a kind."""
    found: list[Tensor] = []

    def take(name: str, tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    change(output, take)
    return found


class KeptBuffers(AbstractContextManager[None]):
    """Puts the buffers of a model back to what they were: to compute a part again is no new step
    of a running statistic.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.kept: list[tuple[Tensor, Tensor]] = []

    def __enter__(self) -> None:
        self.kept = [(buffer, buffer.clone()) for buffer in self.model.buffers()]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Always: torch leaves by an exception once it has the tensors that it wants.
        with torch.no_grad():
            for buffer, value in self.kept:
                buffer.copy_(value)
        self.kept = []
