"""The tree of gates against a recursion that visits one image and one node at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from moe_lab.losses.switch_balance import switch_balance
from moe_lab.networks.stacked import StackedLinear
from moe_lab.routers import ScheduledTemperature, TopKRouter, TreeRouter
from tests.routers.fixed import ScoresGate

D = 6
TREES = [[2], [2, 3], [4, 4, 4], [1, 3], [3, 1, 2]]


def tables(router: TreeRouter) -> list[Tensor]:
    """The weights of every level, [nodes, D, children]."""
    found: list[Tensor] = []
    for level in router.levels:
        assert isinstance(level, StackedLinear)
        found.append(level.weight)
    return found


def leaves_below(
    router: TreeRouter, image: Tensor, level: int, node: int, weights: list[Tensor]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(weight, probability, summed score) of every leaf below a node, for one image [D]."""
    if level == len(router.branching):
        one = image.new_ones(())
        return [(one, one, image.new_zeros(()))]
    scores = image @ weights[level][node]
    temperature = router.temperatures[level]()
    factors = (scores / temperature).softmax(0)
    followed = factors.topk(router.top_k[level]).indices.tolist()
    total = sum(factors[child] for child in followed) if router.top_k[level] > 1 else 1.0
    below = []
    for child in range(router.branching[level]):
        if child in followed:
            inner = leaves_below(
                router, image, level + 1, node * router.branching[level] + child, weights
            )
        else:
            later = router.branching[level + 1 :]
            # Not scored: a leaf of its own if there is no level below, else probability 0.
            probability = image.new_ones(()) if not later else image.new_zeros(())
            inner = [(image.new_zeros(()), probability, image.new_zeros(()))] * math.prod(later)
        for weight, probability, score in inner:
            below.append(
                (
                    factors[child] / total * weight,
                    factors[child] * probability,
                    scores[child] + score,
                )
            )
    return below


def by_recursion(router: TreeRouter, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, probs and logits, each [B, E]."""
    rows = [leaves_below(router, image, 0, 0, tables(router)) for image in images]
    weights, probs, logits = (
        torch.stack([torch.stack([leaf[part] for leaf in row]) for row in rows])
        for part in range(3)
    )
    return weights, probs / probs.detach().sum(-1, keepdim=True), logits


@pytest.mark.parametrize("top_k", [None, 1, "two"])
@pytest.mark.parametrize("branching", TREES)
def test_values_and_gradients_equal_the_recursion(
    branching: list[int], top_k: int | str | None
) -> None:
    torch.manual_seed(0)
    followed = [min(2, n) for n in branching] if top_k == "two" else top_k
    assert not isinstance(followed, str)
    temperature = [0.5 + level for level in range(len(branching))]
    router = TreeRouter(D, branching, followed, temperature, init_std=0.5)
    images = torch.randn(9, D)
    routing, expected = router(images), by_recursion(router, images)
    seen = (routing.weights, routing.probs, routing.logits)
    factors = [torch.randn_like(part) for part in seen]
    for own, wanted, factor in zip(seen, expected, factors, strict=True):
        torch.testing.assert_close(own, wanted, atol=1e-6, rtol=1e-5)
        own_grads = torch.autograd.grad((own * factor).sum(), tables(router), retain_graph=True)
        grads = torch.autograd.grad((wanted * factor).sum(), tables(router), retain_graph=True)
        for own_grad, grad in zip(own_grads, grads, strict=True):
            torch.testing.assert_close(own_grad, grad, atol=1e-5, rtol=1e-4)


def test_one_level_is_top_k_routing() -> None:
    torch.manual_seed(0)
    router, images = TreeRouter(D, [5], top_k=2, init_std=1.0), torch.randn(20, D)
    scores = images @ tables(router)[0][0]
    flat = TopKRouter(ScoresGate(5), top_k=2)(scores)
    seen = router(images)
    for own, wanted in ((seen.logits, flat.logits), (seen.probs, flat.probs)):
        torch.testing.assert_close(own, wanted)
    torch.testing.assert_close(seen.weights, flat.weights)


def test_a_leaf_of_probability_three_quarters_times_two_fifths() -> None:
    router = TreeRouter(1, [2, 2])
    first, second = tables(router)
    first.data[0] = torch.tensor([[3.0, 1.0]]).log()
    second.data[0], second.data[1] = torch.tensor([[2.0, 3.0]]).log(), torch.zeros(1, 2)
    weights = router(torch.ones(1, 1)).weights
    torch.testing.assert_close(weights, torch.tensor([[0.3, 0.45, 0.125, 0.125]]))


@pytest.mark.parametrize(
    ("top_k", "scored"),
    [
        (None, 1 + 4 + 16),  # every node
        (1, 1 + 1 + 1),  # one path
        ([2, 2, 4], 1 + 2 + 4),
        ([1, 4, 2], 1 + 1 + 4),
    ],
)
def test_only_followed_nodes_are_scored(top_k: int | list[int] | None, scored: int) -> None:
    torch.manual_seed(0)
    router, images = TreeRouter(D, [4, 4, 4], top_k), torch.randn(32, D)
    with FlopCounterMode(display=False) as counter:
        router(images)
    assert counter.get_total_flops() == 32 * scored * 2 * D * 4


def test_all_weights_sum_to_one_unless_a_level_keeps_a_single_probability() -> None:
    assert TreeRouter(D, [2, 4]).row_sum == "one"
    assert TreeRouter(D, [2, 4], [2, 3]).row_sum == "one"
    assert TreeRouter(D, [1, 4], [1, 2]).row_sum == "one"
    assert TreeRouter(D, [2, 4], [2, 1]).row_sum == "at most one"
    router = TreeRouter(D, [2, 4], [2, 3], init_std=1.0)
    routing = router(torch.randn(16, D))
    torch.testing.assert_close(routing.weights.sum(-1), torch.ones(16))
    assert ((routing.weights > 0).sum(-1) == 6).all()


def test_balancing_reaches_the_root_of_a_tree_that_follows_one_branch() -> None:
    torch.manual_seed(0)
    router = TreeRouter(D, [2, 2], top_k=1, init_std=1.0)
    switch_balance(router(torch.randn(64, D))).backward()
    for table in tables(router):
        assert table.grad is not None
        assert table.grad.abs().max() > 1e-3


def test_a_scheduled_temperature_is_shared_by_all_levels() -> None:
    router = TreeRouter(D, [2, 3], temperature=ScheduledTemperature("linear"))
    assert router.temperatures[0] is router.temperatures[1]


def test_trees_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiply to model.num_experts = 16, got \[2, 4\] = 8"):
        TreeRouter(D, [2, 4], num_experts=16)
    for branching in ([], [2, 0]):
        with pytest.raises(ValueError, match="branching must be positive integers"):
            TreeRouter(D, branching)
    with pytest.raises(ValueError, match=r"1\.\.2 at level 0 of .* = \[2, 4\], got 3"):
        TreeRouter(D, [2, 4], top_k=3)
    with pytest.raises(ValueError, match=r"one number or 2, one for each level.*got \[1\]"):
        TreeRouter(D, [2, 4], top_k=[1])
    with pytest.raises(ValueError, match=r"temperature must be one number or 2.*got \[1.0\]"):
        TreeRouter(D, [2, 4], temperature=[1.0])
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        TreeRouter(D, [2, 4], temperature=[1.0, 0])
    with pytest.raises(ValueError, match="init_std must be above 0"):
        TreeRouter(D, [2, 4], init_std=0)
