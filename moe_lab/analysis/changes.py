"""Changes to a routing, each a function that gives other weights to the same images.

A model may call its router several times on a batch. `call` counts these calls, and `start` is the
number of images that earlier batches brought to the same call: the place of the rows in the split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from moe_lab.outputs import Routing

WeightChange = Callable[
    [Routing, int, int], Tensor
]  # routing [B, E], call, start -> weights [B, E]


def nothing(routing: Routing, call: int, start: int) -> Tensor:
    """The weights as they are."""
    return routing.weights


def knock_out(expert: int) -> WeightChange:
    """No image is given to `expert`; see `without`."""

    def change(routing: Routing, call: int, start: int) -> Tensor:
        chosen = torch.full(routing.weights.shape[:1], expert, device=routing.weights.device)
        return without(routing, chosen)

    return change


def drop_top(routing: Routing, call: int, start: int) -> Tensor:
    """Each image loses the expert with its largest weight; see `without`."""
    return without(routing, routing.weights.argmax(-1))


def swap(one: int, other: int) -> WeightChange:
    """The images of two experts change hands: each has the weight of the other."""

    def change(routing: Routing, call: int, start: int) -> Tensor:
        order = torch.arange(routing.num_experts, device=routing.weights.device)
        order[one], order[other] = other, one
        return routing.weights[:, order]

    return change


def shuffle(routings: Sequence[Routing], generator: torch.Generator) -> WeightChange:
    """Each image gets the weights of another image of the split, drawn without repeats.

    `routings` holds the unchanged routing of the split, one for each call of the router.
    """
    orders = [torch.randperm(len(r.weights), generator=generator) for r in routings]
    pools = [r.weights[o.to(r.weights.device)] for r, o in zip(routings, orders, strict=True)]

    def change(routing: Routing, call: int, start: int) -> Tensor:
        # A change may bring more images to a later call than there were: those start over.
        pool = pools[min(call, len(pools) - 1)]
        rows = torch.arange(start, start + len(routing.weights), device=pool.device)
        return pool[rows % len(pool)]

    return change


def mean_routing(routings: Sequence[Routing]) -> WeightChange:
    """Every image gets the mean weights of the split, with all experts that anybody used."""
    means = [routing.weights.mean(0) for routing in routings]

    def change(routing: Routing, call: int, start: int) -> Tensor:
        return means[min(call, len(means) - 1)].expand_as(routing.weights).contiguous()

    return change


def without(routing: Routing, expert: Tensor) -> Tensor:
    """Weights [B, E] with 0 for one expert of each image, [B]; rows of those that did not use it
    stay.

    The other experts of an image share what it had in proportion to their weights. Where it was the
    only one, all goes to the most probable of the rest, or to the one with the largest logit where
    the router gives the rest no probability. An image for which there is no other is left without.
    """
    weights, row = routing.weights, expert.unsqueeze(-1)  # [B, E], [B, 1]
    kept = weights.scatter(-1, row, 0.0)
    total, left = weights.sum(-1, keepdim=True), kept.sum(-1, keepdim=True)
    shared = kept * (total / left.where(left > 0, torch.ones_like(left)))
    used = weights.gather(-1, row) != 0
    changed = shared.where(left > 0, next_best(routing, row, total))
    return changed.where(used, weights)


def next_best(routing: Routing, removed: Tensor, total: Tensor) -> Tensor:
    """The weight `total` [B, 1] at the best expert but the `removed` one [B, 1], 0 elsewhere."""
    if routing.num_experts == 1:
        return torch.zeros_like(routing.weights)
    probs = routing.probs.scatter(-1, removed, -torch.inf)
    logits = routing.logits.scatter(-1, removed, -torch.inf)
    best = torch.where(probs.amax(-1) > 0, probs.argmax(-1), logits.argmax(-1))
    return torch.zeros_like(routing.weights).scatter(-1, best.unsqueeze(-1), total)
