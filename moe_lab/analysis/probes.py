"""Causal probes: change the routing of a trained model, and see which predictions move with it.

What experts are used for is a correlation; only a change can tell whether a prediction depends on
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from scipy import stats

from moe_lab.analysis.changes import (
    WeightChange,
    drop_top,
    knock_out,
    mean_routing,
    nothing,
    shuffle,
    swap,
)
from moe_lab.analysis.collected import Whole
from moe_lab.analysis.rerouting import Batches, Rerouted, reroute, routers_of
from moe_lab.data.resident import seeded
from moe_lab.models import Model

REPEATS = 10  # random routings
MOST_PAIRS = 28  # all pairs of 8 experts; a sample of them where there are more


@dataclass(frozen=True)
class Effect:
    """What one change did to the predictions on a split of B images."""

    accuracy_before: float
    accuracy_after: float
    change_by_class: list[float]  # [C] accuracy after less before; NaN for a class without images
    changed_predictions: int
    lost: int  # right before, wrong after
    gained: int  # wrong before, right after
    p_value: float  # of lost and gained being equally likely: McNemar's exact test (1947)

    @property
    def change(self) -> float:
        return self.accuracy_after - self.accuracy_before


@dataclass(frozen=True)
class RouterProbes:
    """The effects of every change to one router."""

    images: Whole  # [E] images that used an expert, at the first call of the router
    knock_out: list[Effect]  # E
    swap: dict[tuple[int, int], Effect]
    shuffle: list[Effect]  # one a seed
    freeze: Effect
    drop_top: Effect

    @property
    def num_experts(self) -> int:
        return len(self.knock_out)


def probe(
    model: Model, batches: Batches, num_classes: int, seed: int = 0
) -> dict[str, RouterProbes]:
    """The probes of every router in a model, one router at a time, by the router's place in it.

    Empty for a model without routers. That includes soft mixtures, in which nothing is chosen: each
    expert sees averages of every image, and there is no decision to change.
    """
    routers = routers_of(model)
    if not routers:
        return {}
    target = torch.cat([target for _, target, *_ in batches]).cpu().numpy()
    return {
        name: probe_router(reroute(model, router, batches), target, num_classes, seed)
        for name, router in routers.items()
    }


def probe_router(
    subject: Rerouted, target: Whole, num_classes: int, seed: int = 0, repeats: int = REPEATS
) -> RouterProbes:
    """Every change to one router; `seed` draws the random routings and, of many experts, the
    pairs.
    """
    routings = subject.routings()
    before = subject.predict(nothing).cpu().numpy()

    def effect(change: WeightChange) -> Effect:
        return effect_of(target, before, subject.predict(change).cpu().numpy(), num_classes)

    num_experts = routings[0].num_experts
    pairs = pairs_of(num_experts, seed)
    return RouterProbes(
        images=(routings[0].weights != 0).sum(0).cpu().numpy(),
        knock_out=[effect(knock_out(expert)) for expert in range(num_experts)],
        swap={pair: effect(swap(*pair)) for pair in pairs},
        shuffle=[effect(shuffle(routings, seeded(seed, repeat))) for repeat in range(repeats)],
        freeze=effect(mean_routing(routings)),
        drop_top=effect(drop_top),
    )


def pairs_of(num_experts: int, seed: int) -> list[tuple[int, int]]:
    """All pairs of experts, or MOST_PAIRS of them drawn by `seed`; in order."""
    pairs = list(combinations(range(num_experts), 2))
    if len(pairs) <= MOST_PAIRS:
        return pairs
    chosen = np.random.default_rng(seed).choice(len(pairs), MOST_PAIRS, replace=False)
    return [pairs[index] for index in sorted(chosen)]


def effect_of(target: Whole, before: Whole, after: Whole, num_classes: int) -> Effect:
    """The effect of a change from predicted classes [B] before and after it."""
    was_right, is_right = before == target, after == target
    lost, gained = int((was_right & ~is_right).sum()), int((is_right & ~was_right).sum())
    images = np.bincount(target, minlength=num_classes)
    moved = np.bincount(target, is_right.astype(float) - was_right, minlength=num_classes)
    by_class = np.divide(moved, images, out=np.full(num_classes, np.nan), where=images > 0)
    return Effect(
        accuracy_before=float(was_right.mean()),
        accuracy_after=float(is_right.mean()),
        change_by_class=by_class.tolist(),
        changed_predictions=int((before != after).sum()),
        lost=lost,
        gained=gained,
        p_value=float(stats.binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0,
    )


def as_json(probes: RouterProbes) -> dict[str, Any]:
    """The probes of a router in plain containers."""
    accuracies = [effect.accuracy_after for effect in probes.shuffle]
    return {
        "knock_out": [
            {"expert": expert, "images": int(probes.images[expert]), **vars(effect)}
            for expert, effect in enumerate(probes.knock_out)
        ],
        "swap": [{"experts": list(pair), **vars(e)} for pair, e in probes.swap.items()],
        "shuffle": {
            "accuracy_after_mean": float(np.mean(accuracies)),
            "accuracy_after_sd": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
            "repeats": [vars(effect) for effect in probes.shuffle],
        },
        "freeze": vars(probes.freeze),
        "drop_top": vars(probes.drop_top),
    }
