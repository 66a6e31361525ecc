"""Loss values derived by hand: balance, collapse, and a small worked matrix."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from moe_lab.losses import CrossEntropy, Importance, Objective, RouterZ, SwitchBalance
from moe_lab.losses.switch_balance import load_share
from moe_lab.outputs import MixtureOutput, Output, Routing

TARGET = torch.tensor([0, 1, 1, 0])


def mixture(weights: Tensor, probs: Tensor | None = None, logits: Tensor | None = None) -> Output:
    probs = weights if probs is None else probs
    logits = probs.clamp(min=1e-9).log() if logits is None else logits
    log_probs = torch.full((len(weights), 2), 0.5).log()
    return MixtureOutput(log_probs, Routing(logits, probs, weights))


def one_hot(experts: list[int], num_experts: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(experts), num_experts).float()


@pytest.mark.parametrize("num_experts", [2, 4, 8])
@pytest.mark.parametrize("term", [SwitchBalance(), Importance()])
def test_balance_terms_are_one_at_balance_and_e_at_collapse(
    term: SwitchBalance | Importance, num_experts: int
) -> None:
    balanced = mixture(torch.eye(num_experts))
    collapsed = mixture(one_hot([0] * num_experts, num_experts))
    target = torch.zeros(num_experts, dtype=torch.int64)
    assert float(term(balanced, target)) == pytest.approx(1.0)
    assert float(term(collapsed, target)) == pytest.approx(num_experts)


def test_switch_balance_of_a_worked_matrix() -> None:
    probs = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.7, 0.2, 0.1], [0.5, 0.4, 0.1]])
    weights = probs * one_hot([0, 1, 0, 0], 3)
    # load 3/4, 1/4, 0; mean probs 0.5, 0.35, 0.15; 3 * (0.375 + 0.0875) = 1.3875
    assert float(SwitchBalance()(mixture(weights, probs), TARGET)) == pytest.approx(1.3875)


def test_switch_balance_at_balance_is_one_for_every_top_k() -> None:
    probs = torch.full((4, 4), 0.25)
    for top_k in (1, 2, 3, 4):
        pattern = torch.stack([torch.arange(4).roll(i) < top_k for i in range(4)])
        loss = SwitchBalance()(mixture(probs * pattern, probs), TARGET)
        assert float(loss) == pytest.approx(1.0), top_k


def test_dense_routing_counts_first_choices() -> None:
    weights = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    assert load_share(weights).tolist() == [0.75, 0.25]


def test_switch_balance_pushes_probability_from_busy_to_idle_experts() -> None:
    probs = torch.full((4, 2), 0.5, requires_grad=True)
    weights = probs.detach() * one_hot([0, 0, 0, 1], 2)
    SwitchBalance()(mixture(weights, probs, logits=probs), TARGET).backward()
    # d/dP = E * load / B = 2 * (3/4, 1/4) / 4
    torch.testing.assert_close(probs.grad, torch.tensor([[0.375, 0.125]]).repeat(4, 1))


def test_importance_of_a_worked_matrix() -> None:
    weights = torch.tensor([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])
    # importance 3 and 1: mean 2, population variance 1, CV^2 = 1/4
    assert float(Importance()(mixture(weights), TARGET)) == pytest.approx(1.25)


def test_importance_of_no_weight_at_all_is_one_with_finite_gradient() -> None:
    weights = torch.zeros(4, 3, requires_grad=True)
    loss = Importance()(mixture(weights, torch.full((4, 3), 1 / 3)), TARGET)
    loss.backward()
    assert float(loss) == pytest.approx(1.0)
    assert weights.grad is not None
    assert weights.grad.isfinite().all()


def test_router_z_of_zero_logits_is_the_square_of_log_e() -> None:
    zeros = mixture(torch.full((4, 8), 0.125), logits=torch.zeros(4, 8))
    assert float(RouterZ()(zeros, TARGET)) == pytest.approx(math.log(8) ** 2)  # 4.324
    shifted = mixture(torch.full((4, 8), 0.125), logits=torch.full((4, 8), 5.0))
    assert float(RouterZ()(shifted, TARGET)) == pytest.approx((5 + math.log(8)) ** 2, rel=1e-6)


def test_cross_entropy_and_its_smoothing_by_hand() -> None:
    output = Output(torch.tensor([[0.8, 0.2], [0.6, 0.4]]).log())
    target = torch.tensor([0, 1])
    plain = -(math.log(0.8) + math.log(0.4)) / 2
    assert float(CrossEntropy()(output, target)) == pytest.approx(plain)
    all_classes = -(math.log(0.8) + math.log(0.2) + math.log(0.6) + math.log(0.4)) / 4
    smoothed = float(CrossEntropy(label_smoothing=0.1)(output, target))
    assert smoothed == pytest.approx(0.9 * plain + 0.1 * all_classes)
    reference = torch.nn.functional.cross_entropy(output.log_probs, target, label_smoothing=0.1)
    assert smoothed == pytest.approx(float(reference))


def test_objective_weighs_terms_and_reports_them_unweighted() -> None:
    terms = {
        "cross_entropy": {"weight": 1.0, "term": CrossEntropy()},
        "switch_balance": {"weight": 0.5, "term": SwitchBalance()},
        "router_z": {"weight": 0.0, "term": RouterZ()},
    }
    objective = Objective(terms)
    loss = objective(mixture(one_hot([0, 0, 0, 0], 2)), TARGET)
    assert set(loss.terms) == {"cross_entropy", "switch_balance"}
    assert float(loss.terms["switch_balance"]) == pytest.approx(2.0)
    assert float(loss.total) == pytest.approx(math.log(2) + 0.5 * 2.0)
    assert not objective.needs_every_expert


def test_objective_refuses_what_cannot_be_meant() -> None:
    with pytest.raises(ValueError, match=r"loss\.terms\.a\.weight must be at least 0, got -1"):
        Objective({"a": {"weight": -1, "term": CrossEntropy()}})
    with pytest.raises(ValueError, match="every loss term has weight 0"):
        Objective({"a": {"weight": 0, "term": CrossEntropy()}})
    objective = Objective({"router_z": {"weight": 1, "term": RouterZ()}})
    with pytest.raises(ValueError, match="router_z reads MixtureOutput, but dense returns Output"):
        objective.check_reads("dense", Output)
