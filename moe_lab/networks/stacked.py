"""Linear layers of all experts as one stacked weight: the grouped linear layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class StackedLinear(nn.Module):
    """E linear layers, each applied to its own rows. [N, in] sorted by expert -> [N, out]"""

    def __init__(
        self, num_experts: int, in_features: int, out_features: int, bias: bool = True
    ) -> None:
        super().__init__()
        self.num_experts = num_experts
        self.in_features = in_features
        self.out_features = out_features
        self.weight = nn.Parameter(torch.empty(num_experts, in_features, out_features))
        self.bias = nn.Parameter(torch.empty(num_experts, out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every expert as nn.Linear draws its own."""
        # nn.init would take a 3-D tensor for a convolution and its fan-in for in * out.
        bound = self.in_features**-0.5
        for parameter in self.parameters(recurse=False):
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        rows, weight, bias = self._autocast(rows)
        # Equal numbers of rows are one batched product, which is the fastest there is.
        if min(counts) == max(counts):
            stacked = rows.view(self.num_experts, counts[0], self.in_features)
            return _batched(stacked, weight, bias)
        return _SegmentedLinear.apply(rows, weight, bias, counts)

    def every(self, rows: Tensor) -> Tensor:
        """Every expert on every row, without E copies of the rows. [B, in] -> [E * B, out]"""
        rows, weight, bias = self._autocast(rows)
        return _batched(rows.expand(self.num_experts, *rows.shape), weight, bias)

    def extra_repr(self) -> str:
        return f"{self.num_experts} x ({self.in_features} -> {self.out_features})"

    def _autocast(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The operands in the dtype that autocast gives nn.Linear."""
        # Autocast knows nothing about a custom Function. float64 it leaves alone, and so must this:
        # gradients are checked in float64.
        kind = rows.device.type
        if not torch.is_autocast_enabled(kind) or rows.dtype == torch.float64:
            return rows, self.weight, self.bias
        dtype = torch.get_autocast_dtype(kind)
        bias = None if self.bias is None else self.bias.to(dtype)
        return rows.to(dtype), self.weight.to(dtype), bias


def relu_perceptron(
    rows: Tensor, first: StackedLinear, last: StackedLinear, counts: Sequence[int]
) -> Tensor:
    """last(relu(first(rows))) as one Function. [N, in] -> [N, out]"""
    rows, *parameters = first._autocast(rows)
    parameters += last._autocast(rows)[1:]
    return _SegmentedPerceptron.apply(rows, *parameters, counts)


def _batched(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[E, n, in] x [E, in, out] -> [E * n, out]"""
    if bias is None:
        return torch.bmm(rows, weight).flatten(0, 1)
    return torch.baddbmm(bias.unsqueeze(1), rows, weight).flatten(0, 1)


class _SegmentedLinear(torch.autograd.Function):
    """One matrix product per expert, each written in place. [N, in], [E, in, out] -> [N, out]"""

    # A loop rather than grouped_mm, which on CPU is the same loop (33 ms both for 64 experts of
    # 256 x 256 x 512, 2 threads; 0.34 and 0.33 ms for 8 of 32 x 784 x 128) and refuses float64
    # and widths off 16 bytes. Padding to one bmm is faster only for few rows (0.25 ms), and it
    # would compute rows that do not exist, which the counted FLOPs would show.

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, counts: Sequence[int]
    ) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.counts = counts
        return _affine(rows, weight, bias, counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        # An expanded gradient, as of a sum, would be copied by every single product.
        grad = grad.contiguous()
        grads = grad.split(ctx.counts)
        grad_rows = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_rows = _buffer(grad, *rows.shape)
            _multiply_segments(grad_rows.split(ctx.counts), grads, weight.mT.unbind())
        if ctx.needs_input_grad[1]:
            grad_weight = _buffer(grad, *weight.shape)
            # A product over no rows writes zeros: idle experts get zero gradients, not garbage.
            _multiply_segments(grad_weight, rows.t().split(ctx.counts, dim=1), grads)
        if ctx.needs_input_grad[2]:
            grad_bias = grad.new_empty(len(weight), weight.shape[2])
            for own, out in zip(grads, grad_bias, strict=True):
                torch.sum(own, 0, out=out)
        return grad_rows, grad_weight, grad_bias, None


class _SegmentedPerceptron(torch.autograd.Function):
    """Linear, relu, linear of each expert on its own rows. [N, in] -> [N, out]"""

    # The gradient of an expert's hidden layer lives in one small buffer that stays in the cache, so
    # that no [N, H] gradient is written, masked into a copy and read again.

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor,
        last_weight: Tensor,
        last_bias: Tensor,
        counts: Sequence[int],
    ) -> Tensor:
        # In place, and only the result is kept: it is 0 exactly where the gradient of relu is.
        hidden = _affine(rows, weight, bias, counts).relu_()
        ctx.save_for_backward(rows, weight, hidden, last_weight)
        ctx.counts = counts
        return _affine(hidden, last_weight, last_bias, counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, hidden, last_weight = ctx.saved_tensors
        counts, needs_rows = ctx.counts, ctx.needs_input_grad[0]
        grad_rows = _buffer(grad, *rows.shape) if needs_rows else None
        rows_out = grad_rows.split(counts) if grad_rows is not None else [None] * len(counts)
        grads = [_buffer(grad, *own.shape) for own in (weight, last_weight)]
        biases = [grad.new_empty(len(own), own.shape[2]) for own in (weight, last_weight)]
        buffer = grad.new_empty(max(counts), hidden.shape[1])
        segments = zip(
            rows.split(counts), hidden.split(counts), grad.contiguous().split(counts),
            weight.mT, last_weight.mT, rows_out, *grads, *biases, strict=True,
        )  # fmt: skip
        for own, active, up, first, last, down, *outs in segments:
            # [n, H] gradient of the hidden layer, masked in place by threshold_backward.
            inner = torch.mm(up, last, out=buffer[: len(up)])
            torch.ops.aten.threshold_backward.grad_input(inner, active, 0, grad_input=inner)
            torch.mm(own.t(), inner, out=outs[0])
            torch.mm(active.t(), up, out=outs[1])
            torch.sum(inner, 0, out=outs[2])
            torch.sum(up, 0, out=outs[3])
            if down is not None:
                torch.mm(inner, first, out=down)
        return grad_rows, grads[0], biases[0], grads[1], biases[1], None


def _affine(rows: Tensor, weight: Tensor, bias: Tensor | None, counts: Sequence[int]) -> Tensor:
    """rows @ weight + bias of each segment. [N, in], [E, in, out] -> [N, out]"""
    shape = (len(rows), weight.shape[2])
    if bias is None:
        out = _buffer(rows, *shape)
        _multiply_segments(out.split(counts), rows.split(counts), weight.unbind())
        return out
    if _is_fresh(rows, *shape):  # let the bias be what first touches the pages
        out = bias.repeat_interleave(torch.tensor(counts), 0, output_size=shape[0])
        starts: Sequence[Tensor] = out.split(counts)
    else:
        out, starts = rows.new_empty(shape), bias.unbind()
    outs = out.split(counts)
    for start, own, layer, result in zip(starts, rows.split(counts), weight, outs, strict=True):
        torch.addmm(start, own, layer, out=result)
    return out


def _multiply_segments(
    outs: Iterable[Tensor], lefts: Iterable[Tensor], rights: Iterable[Tensor]
) -> None:
    """Write left @ right into each out."""
    for out, left, right in zip(outs, lefts, rights, strict=True):
        torch.mm(left, right, out=out)


def _buffer(like: Tensor, *shape: int) -> Tensor:
    """Memory to be written over, its pages already touched."""
    return like.new_zeros(shape) if _is_fresh(like, *shape) else like.new_empty(shape)


def _is_fresh(like: Tensor, *shape: int) -> bool:
    """Whether a tensor this large would consist of memory pages that were never touched."""
    # glibc returns 32 MiB and more to the kernel at every free. Many small products that touch such
    # pages first take 14 ms longer for 32 MiB, a fill by all threads 8 ms.
    return like.device.type == "cpu" and math.prod(shape) * like.element_size() >= 2**25
