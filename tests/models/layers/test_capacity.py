"""Which tokens an expert has room for, counted by hand."""

from __future__ import annotations

import pytest
import torch

from moe_lab.models.layers import within_capacity

WANTED = torch.tensor(
    [  # one image, four tokens, two experts
        [0.9, 0.0],
        [0.5, 0.5],
        [0.7, 0.3],
        [0.6, 0.0],
    ]
)


@pytest.mark.parametrize(
    ("factor", "kept"),
    [
        # six pairs over two experts: fair share 3
        (1.0, [[1, 0], [0, 1], [1, 1], [1, 0]]),  # room for 3: expert 0 refuses its smallest, 0.5
        (0.5, [[1, 0], [0, 1], [1, 1], [0, 0]]),  # ceil(1.5) = 2 each: 0.9, 0.7 and 0.5, 0.3
        (0.3, [[1, 0], [0, 1], [0, 0], [0, 0]]),  # ceil(0.9) = 1 each
        (0.001, [[1, 0], [0, 1], [0, 0], [0, 0]]),  # never less than one
        (2.0, [[1, 0], [1, 1], [1, 1], [1, 0]]),  # room for 6: no token is dropped
    ],
)
def test_an_expert_keeps_the_tokens_of_largest_weight(factor: float, kept: list[list[int]]) -> None:
    assert within_capacity(WANTED[None], factor)[0].int().tolist() == kept


def test_among_equal_weights_the_earlier_token_is_kept() -> None:
    weights = torch.full((1, 4, 2), 0.5)
    kept = within_capacity(weights, 0.5)[0]  # eight pairs: room for 2
    assert kept.int().tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]


def test_each_image_has_room_of_its_own() -> None:
    torch.manual_seed(0)
    weights = torch.rand(5, 7, 3) * (torch.rand(5, 7, 3) > 0.3)
    together = within_capacity(weights, 0.7)
    alone = torch.cat([within_capacity(image[None], 0.7) for image in weights])
    assert torch.equal(together, alone)
    assert 0 < together.sum() < (weights != 0).sum()


def test_a_fair_share_is_enough_where_every_expert_is_wanted_equally() -> None:
    weights = torch.eye(4).repeat(1, 3, 1)[:, :12]
    assert torch.equal(within_capacity(weights, 1.0), weights != 0)
