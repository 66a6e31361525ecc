"""Changed routings: who gets the weight of an expert that is gone, and that nothing else moves."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from moe_lab.analysis.changes import drop_top, knock_out, mean_routing, shuffle, swap, without
from moe_lab.outputs import Routing


def routing(weights: list[list[float]], probs: list[list[float]] | None = None) -> Routing:
    given = torch.tensor(weights)
    likely = given if probs is None else torch.tensor(probs)
    return Routing(torch.zeros_like(given), likely, given)


def close(found: Tensor, expected: list[list[float]]) -> None:
    torch.testing.assert_close(found, torch.tensor(expected))


def test_the_others_share_the_weight_and_each_row_keeps_its_sum() -> None:
    before = routing([[0.5, 0.3, 0.2], [0.3, 0.1, 0.0], [0.0, 0.6, 0.4], [2.0, 1.0, 1.0]])
    # 0.3 / 0.5 and 0.2 / 0.5 of 1; all of 0.4; unused: as it was; halves of 4
    close(
        knock_out(0)(before, 0, 0),
        [[0.0, 0.6, 0.4], [0.0, 0.4, 0.0], [0.0, 0.6, 0.4], [0.0, 2.0, 2.0]],
    )


def test_without_its_only_expert_an_image_goes_to_the_next_most_probable() -> None:
    before = routing([[0.6, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.6, 0.1, 0.3], [0.4, 0.5, 0.1]])
    close(drop_top(before, 0, 0), [[0.0, 0.0, 0.6], [1.0, 0.0, 0.0]])


def test_logits_decide_where_the_router_gives_the_rest_no_probability() -> None:
    chosen = torch.tensor([[0.0, 1.0, 0.0]])
    before = Routing(torch.tensor([[-3.0, 5.0, -1.0]]), chosen, chosen)
    close(drop_top(before, 0, 0), [[0.0, 0.0, 1.0]])


def test_an_image_that_nobody_answered_stays_so_and_a_single_expert_has_no_successor() -> None:
    close(knock_out(1)(routing([[0.0, 0.0]], [[0.5, 0.5]]), 0, 0), [[0.0, 0.0]])
    close(drop_top(routing([[0.0, 0.0]], [[0.5, 0.5]]), 0, 0), [[0.0, 0.0]])
    close(knock_out(0)(routing([[1.0]]), 0, 0), [[0.0]])


def test_rows_that_did_not_use_the_expert_stay_to_the_last_bit() -> None:
    torch.manual_seed(0)
    weights = torch.rand(200, 7) * (torch.rand(200, 7) < 0.4)
    after = without(Routing(weights, weights, weights), torch.full((200,), 3))
    unused = weights[:, 3] == 0
    assert 0 < int(unused.sum()) < 200
    assert torch.equal(after[unused], weights[unused])
    assert not after[:, 3].any()
    alone = (weights != 0).sum(1) == 1
    torch.testing.assert_close(after[~alone].sum(1), weights[~alone].sum(1))


def test_a_swap_exchanges_two_columns() -> None:
    close(swap(0, 2)(routing([[0.5, 0.3, 0.2]]), 0, 0), [[0.2, 0.3, 0.5]])


def test_frozen_routing_is_the_mean_of_the_split_for_each_call() -> None:
    first, second = routing([[1.0, 0.0], [0.5, 0.5]]), routing([[0.0, 1.0]])
    change = mean_routing([first, second])
    close(change(first, 0, 0), [[0.75, 0.25], [0.75, 0.25]])
    close(change(second, 1, 0), [[0.0, 1.0]])
    close(change(second, 2, 0), [[0.0, 1.0]])  # a call that the split never came to


@pytest.mark.parametrize("sizes", [(12,), (5, 7), (1,) * 12])
def test_shuffled_routing_is_a_permutation_of_the_split_however_it_is_batched(
    sizes: tuple[int, ...],
) -> None:
    weights = torch.arange(24.0).view(12, 2)
    whole = Routing(weights, weights, weights)
    change = shuffle([whole], torch.Generator().manual_seed(3))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    rows = [routing([[0.0, 0.0]] * size) for size in sizes]
    found = [change(row, 0, start) for row, start in zip(rows, starts, strict=True)]
    assert torch.equal(torch.cat(found), weights[order])
    assert len(change(routing([[0.0, 0.0]] * 3), 0, 11)) == 3  # past the end it starts over
