"""The rule that reads all expert outputs side by side."""

from __future__ import annotations

import pytest
import torch

from moe_lab.dispatch import Plan
from moe_lab.models.combine import CombineConcat, CombineLogits


def test_fresh_it_is_the_weighted_sum_of_logits() -> None:
    torch.manual_seed(0)
    weights = torch.rand(6, 4) * (torch.rand(6, 4) > 0.5)
    plan = Plan.from_weights(weights)
    answers = torch.randn(len(plan.row), 5)
    torch.testing.assert_close(CombineConcat(4, 5)(answers, plan), CombineLogits()(answers, plan))


@pytest.mark.parametrize("k", [2, 3])
def test_it_is_a_linear_layer_on_the_outputs_side_by_side(k: int) -> None:
    torch.manual_seed(0)
    rule = CombineConcat(3, 2)
    torch.nn.init.normal_(rule.weight)
    weights = torch.tensor([[0.25, 0.75, 0.5], [0.5, 0.5, 1.0]])
    if k == 2:
        weights[0, 2] = weights[1, 0] = 0
    logits = torch.randn(2, 3, 2, requires_grad=True)  # [B, E, C]
    weights.requires_grad_()
    plan = Plan.from_weights(weights)
    found = rule(logits[plan.row, plan.expert], plan)
    expected = ((weights.unsqueeze(-1) * logits).flatten(1) @ rule.weight.t()).log_softmax(-1)
    torch.testing.assert_close(found, expected)
    leaves = (rule.weight, logits)
    ours = torch.autograd.grad(found[:, 0].sum(), (*leaves, weights), retain_graph=True)
    theirs = torch.autograd.grad(expected[:, 0].sum(), (*leaves, weights))
    # An expert that is not used gets no gradient for its weight: its output is never computed.
    torch.testing.assert_close(ours[:2], theirs[:2])
    torch.testing.assert_close(ours[2], theirs[2] * (weights != 0))


def test_autocast_leaves_it_in_float32() -> None:
    torch.manual_seed(0)
    rule, plan = CombineConcat(3, 5), Plan.every(4, 3)
    answers = torch.randn(12, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = rule(answers, plan)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, rule(answers, plan))


@pytest.mark.parametrize(("sizes", "name"), [((0, 5), "num_experts"), ((3, 0), "num_classes")])
def test_sizes_below_one_are_refused(sizes: tuple[int, int], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        CombineConcat(*sizes)
