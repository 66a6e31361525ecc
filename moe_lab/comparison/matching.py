"""Sizes the dense twin of a mixture: one network of the same kind at the same cost."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from moe_lab.analysis.audit import fill_in_statistics
from moe_lab.comparison.recipe import choices_to_values, hydra_value, select
from moe_lab.config.compose import compose_words
from moe_lab.errors import ConfigError
from moe_lab.models import Model, costs
from moe_lab.training.build import build_classifier

NUM_IMAGES = 256
WIDEST = 2**20
# What one network cannot use; the dense model's own default stands in.
NEEDS_MIXTURE = {"expert": {"mixed", "shared", "zero"}, "backbone": {"patch", "stem"}}
# Groups of the twin that are not the mixture's: what the others say is in the values.
OWN_GROUPS = {"model", "loss", "experiment", "debug", "logger"}
# Keys about parts of the mixture, or about the width that is looked for.
OWN_KEYS = {"init_from", "init_parts", "init_noise", "freeze", "expert.hidden"}


@dataclass(frozen=True)
class Twin:
    """The dense network whose cost is that of a mixture, as overrides of the training command."""

    overrides: list[str]
    hidden: int
    budget: str
    mixture_cost: float
    cost: int

    @property
    def command(self) -> str:
        return shlex.join(["python", "-m", "moe_lab.train", *self.overrides])


def total_parameters(model: Model, images: Tensor) -> int:
    return costs.params_total(model)


@torch.inference_mode()
def active_parameters(model: Model, images: Tensor) -> int:
    """Parameters that an average one of these images touches."""
    routings = model.eval()(images).routings.items()
    used = {name: (own.weights != 0).float().mean(0).tolist() for name, own in routings}
    return costs.params_active(model, used)


BUDGETS: dict[str, Callable[[Model, Tensor], int]] = {
    "active_flops": costs.flops_per_image,
    "active_parameters": active_parameters,
    "total_parameters": total_parameters,
}


def dense_twin(
    overrides: Sequence[str], budget: str, side: str = "below", cost: float | None = None
) -> Twin:
    """The twin of the mixture that `overrides` of the training command make.

    Everything both have in common is kept; `expert.hidden` is the largest whose cost does not
    exceed the mixture's, or with side="nearest" the one of closest cost. The mixture is counted
    untrained on random images: where its router decides how many experts to use, give the `cost`
    that a trained run recorded. ConfigError where there is no such width.
    """
    words = twin_words(overrides)
    step = width_step(words)
    if cost is None:
        cost = count(compose_subject(overrides), budget)
    twin = compose_subject(words)

    def cost_at(hidden: int) -> int:
        twin.expert.hidden = hidden
        return count(twin, budget)

    hidden = find_width(cost_at, cost, step, side)
    return Twin([*words, f"expert.hidden={hidden}"], hidden, budget, cost, cost_at(hidden))


def twin_words(overrides: Sequence[str]) -> list[str]:
    """The overrides that make the dense model of a mixture's overrides, without its width."""
    mixture = choices_to_values(tuple(overrides))
    if mixture.choices["model"] == "dense":
        raise ConfigError("model=dense is a dense network itself", "a mixture", "try model=sparse")
    dense = choices_to_values(("model=dense",))
    wanted = {
        group: option
        for group, option in mixture.choices.items()
        if group in dense.choices
        and group not in OWN_GROUPS
        and option not in NEEDS_MIXTURE.get(group, ())
    }
    selected, composed = select({"model": "dense", **wanted})
    kept: dict[str, Any] = dict(selected)
    kept |= {
        key: mixture.values[key]
        for key, value in composed.values.items()
        if key in mixture.values and key not in OWN_KEYS and mixture.values[key] != value
    }
    return [f"{key}={hydra_value(value)}" for key, value in kept.items()]


def width_step(words: Sequence[str]) -> int:
    """1, or what the width must be a multiple of; ConfigError where it is not one number."""
    values = choices_to_values(tuple(words)).values
    if not isinstance(values.get("expert.hidden"), int):
        raise ConfigError(
            f"this expert has expert.hidden={values.get('expert.hidden')}",
            "an expert with one hidden width, which is what can be matched",
            "choose expert=mlp, residual, swiglu, attention or conv for the mixture",
        )
    return int(values.get("expert.num_heads", 1))


def find_width(cost_at: Callable[[int], float], target: float, step: int, side: str) -> int:
    """The largest multiple of `step` that costs at most `target`, by bisection; costs must rise
    with the width.
    """
    if cost_at(step) > target:
        raise ConfigError(
            f"even a dense network of {step} hidden unit(s) costs {cost_at(step):,.0f}, "
            f"more than the mixture's {target:,.0f}",
            "a mixture at least as large",
            "enlarge expert.hidden or the number of experts",
        )
    low, high = 1, 2
    while cost_at(high * step) <= target:
        low, high = high, 2 * high
        if high * step > WIDEST:
            raise ConfigError(
                f"no width up to {WIDEST:,} costs as much as {target:,.0f}", "a smaller cost"
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost_at(middle * step) <= target else (low, middle)
    if side == "nearest" and cost_at(high * step) - target < target - cost_at(low * step):
        return high * step
    return low * step


def compose_subject(overrides: Sequence[str]) -> DictConfig:
    """The training configuration, as if its images were normalised; ConfigError where the data set
    does not say what shape they have.
    """
    config = compose_words("train", overrides).config
    if config.dataset.shape is None:
        raise ConfigError(
            f"dataset={config.dataset.name} does not say what shape its images have",
            "a data set of known shape",
            "match with dataset=mnist, cifar10 or synthetic: only shape and classes matter",
        )
    fill_in_statistics(config)
    return config


def count(config: DictConfig, budget: str) -> int:
    """The cost of the model of one configuration, untrained, on random images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_classifier(config).model
        images = torch.randn([NUM_IMAGES, *config.dataset.shape])
        return BUDGETS[budget](model, images)
