"""Sizes the matched dense baseline of a mixture: the network without routing, at the same cost."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from moe_lab.analysis.audit import fill_in_statistics
from moe_lab.comparison.recipe import choices_to_values, hydra_value, select
from moe_lab.config.compose import compose_words
from moe_lab.config.trust import trusting
from moe_lab.errors import ConfigError
from moe_lab.models import Model, costs
from moe_lab.training.build import build_classifier, build_data, fill_in_data

NUM_IMAGES = 256
WIDEST = 2**20
# What one network cannot use; the dense model's own default stands in.
NEEDS_MIXTURE = {"expert": {"mixed", "shared", "zero"}}
# Groups of the baseline that are not the mixture's: what the others say is in the values.
OWN_GROUPS = {"model", "loss", "experiment", "debug", "logger", "router", "gate", "temperature"}
# Keys about parts of the mixture, or about the width that is looked for.
OWN_KEYS = ("init_from", "init_parts", "init_noise", "freeze", "expert.hidden", "model.num_experts")
OF_ROUTING = ("router.", "gate.", "temperature.")
# Where the experts sit in the body of a network, the baseline is that network with what every image
# or token passes in their place: one expert of matched width, or that many convolutions for all.
IN_THE_BODY: dict[str, tuple[dict[str, str], str]] = {
    "vit_moe": ({"model": "vit_moe", "router": "uniform"}, "expert.hidden"),
    "vit_soft_moe": ({"model": "vit_moe", "router": "uniform"}, "expert.hidden"),
    "conv_moe": ({"model": "conv_moe", "router": "uniform"}, "model.num_experts"),
}
ONE_EXPERT = {model: {"model.num_experts": 1} for model in ("vit_moe", "vit_soft_moe")}
NO_BASELINE = {
    "dense": "is a dense network itself",
    "soft_moe": "reads averages of patches, which no network of the lab without experts does",
}


@dataclass(frozen=True)
class DenseBaseline:
    """The matched dense baseline of a mixture, as overrides of the training command."""

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
    return costs.params_active(model, used, images)


BUDGETS: dict[str, Callable[[Model, Tensor], int]] = {
    "active_flops": costs.flops_per_image,
    "active_parameters": active_parameters,
    "total_parameters": total_parameters,
}


def match_dense(
    overrides: Sequence[str], budget: str, side: str = "below", cost: float | None = None
) -> DenseBaseline:
    """The matched dense baseline of the mixture that `overrides` of the training command make.

    Everything both have in common is kept; the width is the largest whose cost does not exceed the
    mixture's, or with side="nearest" the one of closest cost. The mixture is counted untrained on
    random images: where its router decides how many experts to use, give the `cost` that a trained
    run recorded. ConfigError where there is no such network, or no such width.
    """
    words, width = dense_words(overrides)
    step = width_step(words, width)
    mixture, baseline = compose_training(overrides), compose_training(words)
    if cost is None:
        cost = count_cost(mixture, budget)

    def cost_at(size: int) -> int:
        sized = baseline.copy()  # building resolves references in place, also those to the width
        OmegaConf.update(sized, width, size)
        return count_cost(sized, budget)

    size = find_width(cost_at, cost, step, side)
    return DenseBaseline([*words, f"{width}={size}"], size, budget, cost, cost_at(size))


def dense_words(overrides: Sequence[str]) -> tuple[list[str], str]:
    """The overrides that make the dense network of a mixture's overrides, and the key of its
    width.
    """
    mixture = choices_to_values(tuple(overrides))
    model = mixture.choices["model"]
    if model in NO_BASELINE:
        raise ConfigError(f"model={model} {NO_BASELINE[model]}", "a mixture", "try model=sparse")
    own, width = IN_THE_BODY.get(model, ({"model": "dense"}, "expert.hidden"))
    groups = choices_to_values(tuple(f"{group}={option}" for group, option in own.items())).choices
    wanted = {
        group: option
        for group, option in mixture.choices.items()
        if group in groups
        and group not in OWN_GROUPS
        and group not in own
        and option not in NEEDS_MIXTURE.get(group, ())
    }
    selected, composed = select({**own, "loss": "task", **wanted})
    brought = choices_to_values(tuple(f"{g}={o}" for g, o in {"model": model, **wanted}.items()))
    kept: dict[str, Any] = dict(selected)
    for key, value in composed.values.items():
        if key not in mixture.values or key in (*OWN_KEYS, width):
            continue
        # What a model brings for itself, such as half a cross-entropy for each of its passes, is
        # not what was asked for.
        asked = not key.startswith("loss.") or mixture.values[key] != brought.values.get(key)
        if asked and not key.startswith(OF_ROUTING) and mixture.values[key] != value:
            kept[key] = mixture.values[key]
    kept |= ONE_EXPERT.get(model, {})
    return [f"{key}={hydra_value(value)}" for key, value in kept.items()], width


def width_step(words: Sequence[str], width: str) -> int:
    """1, or what the width must be a multiple of; ConfigError where it is not one number."""
    values = choices_to_values(tuple(words)).values
    if not isinstance(values.get(width), int):
        raise ConfigError(
            f"this expert has {width}={values.get(width)}",
            "an expert with one hidden width, which is what can be matched",
            "choose expert=mlp, residual, swiglu, attention or conv for the mixture",
        )
    return int(values.get("expert.num_heads", 1)) if width == "expert.hidden" else 1


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


def compose_training(overrides: Sequence[str]) -> DictConfig:
    """The training configuration, as if its images were normalised; where the data set does not say
    what shape they have, they are read.
    """
    config = compose_words("train", overrides).config
    if config.dataset.shape is None:
        with trusting(config.get("trust")):
            data = build_data(config)
        data.prepare()
        fill_in_data(config, data)
    fill_in_statistics(config)
    return config


def count_cost(config: DictConfig, budget: str) -> int:
    """The cost of the model of one configuration, untrained, on random images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with trusting(config.get("trust")):
            model = build_classifier(config).model
        images = torch.randn([NUM_IMAGES, *config.dataset.shape])
        return BUDGETS[budget](model, images)
