"""A tree of gates over a flat bank of experts (Jordan & Jacobs 1994, hierarchical mixtures)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast, final

from torch import Tensor, nn

from moe_lab.dispatch import Plan
from moe_lab.networks.stacked import StackedLinear
from moe_lab.outputs import Routing
from moe_lab.routers.base import Router
from moe_lab.routers.temperature import Temperature, as_temperature
from moe_lab.routers.top_k import keep_top_k


@final
class TreeRouter(Router):
    """The weight of a leaf is the product of the conditional gates on its path, [B, D] -> [B, E].

    A node of level l scores its branching[l] children with one linear layer; their softmax, kept at
    its top_k[l] largest and 0 elsewhere, is a factor. Kept factors sum to 1 where top_k > 1; a
    single one stays the probability it is, so that its gate learns. Only nodes with a weight are
    scored. Expert e is the leaf whose branches are the digits of e, first level first.

    `logits` [B, E] is the sum of the scores on the path, where levels that were not scored count 0.
    `probs` [B, E] is the product of the whole softmaxes, 0 for leaves of nodes without scores,
    divided by its sum; the divisor counts as a constant in the backward pass, or the gates above a
    single branch would get no gradient from losses on `probs`.
    """

    def __init__(
        self,
        in_features: int,
        branching: Sequence[int],
        top_k: int | Sequence[int] | None = None,
        temperature: Temperature | float | Sequence[float] = 1.0,
        init_std: float = 0.02,
        num_experts: int | None = None,
    ) -> None:
        super().__init__()
        branches = list(branching)
        if not branches or min(branches) < 1:
            raise ValueError(f"router.branching must be positive integers, got {branches}")
        self.num_experts = math.prod(branches)
        if num_experts not in (None, self.num_experts):
            raise ValueError(
                f"router.branching must multiply to model.num_experts = {num_experts}, got "
                f"{branches} = {self.num_experts}"
            )
        if init_std <= 0:
            raise ValueError(f"router.init_std must be above 0, got {init_std}: all would tie")
        self.branching = branches
        self.top_k = _followed(top_k, branches)
        self.temperatures = nn.ModuleList(_temperatures(temperature, len(branches)))
        self.levels = nn.ModuleList()
        for level, children in enumerate(branches):
            # The nodes of a level are a bank of linear layers: the dispatch of experts serves them.
            nodes = StackedLinear(math.prod(branches[:level]), in_features, children, bias=False)
            nn.init.normal_(nodes.weight, std=init_std)
            self.levels.append(nodes)
        pairs = zip(self.top_k, branches, strict=True)
        self.row_sum = "one" if all(k > 1 or k == n for k, n in pairs) else "at most one"

    def route(self, features: Tensor) -> Routing:
        flat = features.flatten(1)
        weights = probs = flat.new_ones(flat.shape[0], 1)  # [B, nodes of a level]
        logits = flat.new_zeros(flat.shape[0], 1)
        levels = zip(self.levels, self.temperatures, self.top_k, strict=True)
        for level, temperature, top_k in levels:
            # A node whose weight is 0 is not scored, so the cost follows the branches taken.
            nodes, plan = cast(StackedLinear, level), Plan.from_weights(weights)
            # [N, children]; the dense call needs no copy of the images for each node
            scores = nodes.every(flat) if plan.is_dense else nodes(plan.gather(flat), plan.counts)
            factors = (scores / temperature()).softmax(-1)
            kept = keep_top_k(factors, top_k, normalize=top_k > 1)
            above = probs[plan.row, plan.expert].unsqueeze(1)  # [N, 1]
            logits = logits.repeat_interleave(scores.shape[1], 1) + _by_image(plan, scores)
            probs = _by_image(plan, above * factors)
            # plan.weight, not probs: below a single branch the weight is the product of those kept.
            weights = _by_image(plan, plan.weight.unsqueeze(1) * kept)
        if self.top_k != self.branching:
            probs = probs / probs.detach().sum(-1, keepdim=True)
        return Routing(logits=logits, probs=probs, weights=weights)


def _by_image(plan: Plan, values: Tensor) -> Tensor:
    """A value for each child of each followed node, 0 for the others. [N, children] -> [B, nodes *
    children]
    """
    if plan.is_dense:
        return plan.dense(values).flatten(1)
    empty = values.new_zeros(plan.num_rows, plan.num_experts, values.shape[1])
    return empty.index_put((plan.row, plan.expert), values).flatten(1)


def _followed(top_k: int | Sequence[int] | None, branches: list[int]) -> list[int]:
    """How many children are kept at each level."""
    if top_k is None:
        return branches
    followed = [top_k] * len(branches) if isinstance(top_k, int) else list(top_k)
    if len(followed) != len(branches):
        raise ValueError(
            f"router.top_k must be one number or {len(branches)}, one for each level of "
            f"router.branching, got {followed}"
        )
    for level, (kept, children) in enumerate(zip(followed, branches, strict=True)):
        if not 1 <= kept <= children:
            raise ValueError(
                f"router.top_k must be in 1..{children} at level {level} of router.branching = "
                f"{branches}, got {kept}"
            )
    return followed


def _temperatures(
    temperature: Temperature | float | Sequence[float], num_levels: int
) -> list[Temperature]:
    """One temperature per level; a single one is shared by all."""
    if isinstance(temperature, Temperature | int | float):
        return [as_temperature(temperature)] * num_levels
    if len(temperature) != num_levels:
        raise ValueError(
            f"router.temperature must be one number or {num_levels}, one for each level of "
            f"router.branching, got {list(temperature)}"
        )
    return [as_temperature(value) for value in temperature]
