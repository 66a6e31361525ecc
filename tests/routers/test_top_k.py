"""Values of the top-k routers, derived by hand, and the settings under which a gate could not
learn.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from moe_lab.routers import Gate, LinearGate, NoisyTopKRouter, SoftmaxRouter, TopKRouter
from moe_lab.routers.noisy_top_k import probability_of_selection
from moe_lab.routers.top_k import keep_top_k

LOG_PROBS = torch.tensor([[0.5, 0.3, 0.2]]).log()


class FixedGate(Gate):
    """Scores that do not depend on the image: log(0.5), log(0.3), log(0.2)."""

    num_experts = 3

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Parameter(LOG_PROBS.clone())

    def forward(self, features: Tensor) -> Tensor:
        return self.scores.expand(len(features), 3)


def test_top_2_of_5_3_2_renormalises_to_five_eighths_and_three_eighths() -> None:
    routing = TopKRouter(FixedGate(), top_k=2)(torch.zeros(1, 1))
    torch.testing.assert_close(routing.probs, torch.tensor([[0.5, 0.3, 0.2]]))
    torch.testing.assert_close(routing.weights, torch.tensor([[0.625, 0.375, 0.0]]))


def test_weights_are_exactly_zero_where_unselected() -> None:
    weights = keep_top_k(torch.tensor([[0.5, 0.3, 0.2]]), 2, normalize=False)
    assert weights.tolist() == [[0.5, pytest.approx(0.3), 0.0]]


def test_top_1_keeps_the_probability_so_that_the_gate_learns() -> None:
    router = TopKRouter(FixedGate(), top_k=1)
    weights = router(torch.zeros(1, 1)).weights
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.0, 0.0]]))
    weights.sum().backward()
    # d p_0 / d s = p_0 (1 - p_0), -p_0 p_1, -p_0 p_2 = 0.25, -0.15, -0.10
    torch.testing.assert_close(router.gate.scores.grad, torch.tensor([[0.25, -0.15, -0.10]]))


@pytest.mark.parametrize("router", [TopKRouter, NoisyTopKRouter])
def test_normalised_top_1_is_refused(router: type) -> None:
    arguments = (LinearGate(6, 3), 6) if router is NoisyTopKRouter else (LinearGate(6, 3),)
    with pytest.raises(ValueError, match=r"normalize=true.*top_k=1.*never learns"):
        router(*arguments, top_k=1, normalize=True)


@pytest.mark.parametrize("top_k", [0, -1, 4])
def test_top_k_outside_the_experts_is_refused(top_k: int) -> None:
    with pytest.raises(ValueError, match=rf"top_k must be in .*1\.\.3, got {top_k}"):
        TopKRouter(LinearGate(6, 3), top_k)


def test_top_k_of_all_experts_is_softmax_routing() -> None:
    gate, features = LinearGate(6, 5), torch.randn(20, 6)
    all_of_them = TopKRouter(gate, top_k=5)(features).weights
    torch.testing.assert_close(all_of_them, SoftmaxRouter(gate)(features).weights)


def test_normalised_weights_are_a_softmax_over_the_chosen_logits() -> None:
    torch.manual_seed(0)
    routing = TopKRouter(LinearGate(6, 5, init_std=1.0), top_k=2)(torch.randn(20, 6))
    values, _ = routing.logits.topk(2)
    chosen = routing.weights.sort(descending=True).values[:, :2]
    torch.testing.assert_close(chosen, values.softmax(-1))


def test_a_gate_that_would_start_with_all_experts_tied_is_refused() -> None:
    with pytest.raises(ValueError, match="init_std must be above 0"):
        LinearGate(6, 3, init_std=0.0)


def test_ties_still_choose_exactly_k_experts() -> None:
    weights = keep_top_k(torch.full((7, 8), 0.125), 2, normalize=True)
    assert ((weights > 0).sum(-1) == 2).all()


def test_temperature_sharpens_and_softens() -> None:
    sharp = SoftmaxRouter(FixedGate(), temperature=0.5)(torch.zeros(1, 1)).weights
    # squares of 5, 3, 2 over their sum: 25, 9, 4 of 38
    torch.testing.assert_close(sharp, torch.tensor([[25.0, 9.0, 4.0]]) / 38)


def test_noise_is_drawn_in_training_only() -> None:
    torch.manual_seed(0)
    router = NoisyTopKRouter(LinearGate(6, 8), 6, top_k=2)
    features = torch.randn(200, 6)
    noisy, clean = router.train()(features), router.eval()(features)
    assert torch.equal(noisy.logits, clean.logits)
    assert (noisy.weights != 0).ne(clean.weights != 0).any(-1).float().mean() > 0.5
    assert clean.selection_probs is None
    assert torch.equal(clean.weights, keep_top_k(clean.probs, 2, True))


def test_noise_of_a_fresh_router_has_the_spread_of_softplus_zero() -> None:
    torch.manual_seed(0)
    router = NoisyTopKRouter(LinearGate(6, 8), 6, top_k=8, noise_std=2.0).train()
    routing = router(torch.zeros(4000, 6))
    scores = routing.probs.detach().log()
    noise = scores - scores.mean(-1, keepdim=True)  # logits are 0 on zero features
    expected = 2.0 * (math.log(2) + 0.01) * math.sqrt(7 / 8)  # one of 8 degrees lost to the mean
    assert float(noise.std()) == pytest.approx(expected, rel=0.02)


def test_probability_of_selection_against_the_normal_table() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.0]])
    scores = torch.tensor([[1.2, 0.5, -0.3]])
    found = probability_of_selection(logits, scores, torch.ones(1, 3), top_k=1)
    # in: threshold is the second score, Phi(1 - 0.5); out: the first, Phi(0 - 1.2)
    torch.testing.assert_close(found, torch.tensor([[0.691462, 0.115070, 0.115070]]))


def test_probability_of_selection_is_one_for_all_experts_and_matches_simulation() -> None:
    assert probability_of_selection(*[torch.zeros(1, 4)] * 2, torch.ones(1, 4), 4).tolist() == [
        [1.0] * 4
    ]
    torch.manual_seed(0)
    logits, spread = torch.tensor([[0.4, 0.1, -0.2, 0.0]]), torch.full((1, 4), 0.7)
    scores = logits + spread * torch.randn(1, 4)
    found = probability_of_selection(logits, scores, spread, top_k=2)
    for expert in range(4):
        redrawn = scores.repeat(100_000, 1)
        redrawn[:, expert] = logits[0, expert] + 0.7 * torch.randn(100_000)
        share = (redrawn.topk(2).indices == expert).any(-1).float().mean()
        assert float(found[0, expert]) == pytest.approx(float(share), abs=0.006)


def test_negative_noise_and_temperature_are_refused() -> None:
    with pytest.raises(ValueError, match="noise_std must be at least 0, got -1"):
        NoisyTopKRouter(LinearGate(6, 3), 6, noise_std=-1)
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        SoftmaxRouter(LinearGate(6, 3), temperature=0)
