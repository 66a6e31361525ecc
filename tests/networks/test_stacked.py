"""The grouped linear is E separate linears, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from moe_lab.networks.stacked import StackedLinear

COUNTS = [(3, 0, 5, 1), (2, 2, 2, 2), (0, 0, 7, 0), (0, 0, 0, 0), (1, 0, 0, 0)]


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_are_right_in_double_precision(counts: tuple[int, ...], bias: bool) -> None:
    layer = StackedLinear(4, 3, 10, bias=bias).double()
    rows = torch.randn(sum(counts), 3, dtype=torch.float64, requires_grad=True)

    def forward(rows: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return layer(rows, counts)

    assert torch.autograd.gradcheck(forward, (rows, *layer.parameters()))


@pytest.mark.parametrize("counts", [(3, 0, 5, 1), (0, 0, 0, 0)])
def test_idle_experts_get_zero_gradients(counts: tuple[int, ...]) -> None:
    layer = StackedLinear(4, 3, 10)
    layer(torch.randn(sum(counts), 3), counts).sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None
        idle = [parameter.grad[index] for index, count in enumerate(counts) if count == 0]
        assert all(gradient.abs().max() == 0.0 for gradient in idle)


def test_init_bound_is_that_of_linear_and_experts_differ() -> None:
    torch.manual_seed(0)
    layer, reference = StackedLinear(6, 100, 50), nn.Linear(100, 50)
    assert layer.bias is not None
    pairs = ((layer.weight, reference.weight), (layer.bias, reference.bias))
    for own, linear in ((own.detach(), linear.detach()) for own, linear in pairs):
        for expert in own:
            assert 0.09 < expert.abs().max() <= 0.1  # 1 / sqrt(100)
            # A uniform draw has standard deviation bound / sqrt(3) = 0.0577.
            assert expert.std().item() == pytest.approx(linear.std().item(), rel=0.3)
        assert all((own[0] - other).abs().mean() > 0.03 for other in own[1:])


@pytest.mark.parametrize("counts", [(4, 0, 8, 1), (4, 4, 4, 4)])
def test_flop_counter_sees_used_rows_only(counts: tuple[int, ...]) -> None:
    layer = StackedLinear(4, 12, 10)
    rows = torch.randn(sum(counts), 12, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        out = layer(rows, counts)
    forward = 2 * sum(counts) * 12 * 10
    assert counter.get_total_flops() == forward
    with FlopCounterMode(display=False) as counter:
        out.sum().backward()
    assert counter.get_total_flops() == 2 * forward


@pytest.mark.parametrize("counts", [(3, 0, 5, 1), (2, 2, 2, 2)])
def test_autocast_runs_in_bfloat16_as_linear_does(counts: tuple[int, ...]) -> None:
    layer = StackedLinear(4, 6, 10)
    rows = torch.randn(sum(counts), 6, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(rows, counts)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    for leaf in (rows, layer.weight):
        assert leaf.grad is not None
        assert leaf.grad.dtype == torch.float32
    torch.testing.assert_close(out.float(), layer(rows, counts), rtol=2e-2, atol=2e-2)


def test_large_buffers_give_the_same_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, counts = StackedLinear(4, 6, 10), (3, 0, 5, 1)
    rows = torch.randn(9, 6, requires_grad=True)
    grad = torch.randn(9, 10)
    leaves = (rows, *layer.parameters())
    plain = torch.autograd.grad(layer(rows, counts), leaves, grad)
    monkeypatch.setattr("moe_lab.networks.stacked._is_fresh", lambda *_: True)
    torch.testing.assert_close(torch.autograd.grad(layer(rows, counts), leaves, grad), plain)
