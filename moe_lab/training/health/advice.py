"""What to change when experts are not used, in the words of the user's own configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moe_lab.training.health.collapse import sign_of_collapse
from moe_lab.training.health.usage import Usage

Config = Mapping[str, Any]
# Terms that spread the images over the experts, the most usual first.
BALANCE_TERMS = (
    "switch_balance", "importance", "load", "kl_uniform", "variance", "gini", "minimum_usage",
    "capacity", "mutual_information",
)  # fmt: skip
USUAL_WEIGHT = 0.05  # of a balance term that was off, as in loss=balanced
# Keys that let a router try experts it would not choose, and which way to move them.
EXPLORATION = (
    ("router.noise_std", "raise"),
    ("router.bias_rate", "raise"),
    ("router.threshold", "lower"),
    ("router.iterations", "raise"),
    ("router.init_temperature", "raise"),
    ("router.temperature", "raise"),
    ("temperature.value", "raise"),
    ("temperature.end", "raise"),
)
FIXED_ROUTERS = ("HashRouter", "RandomRouter", "UniformRouter")
MOST_NAMED = 6  # experts that are listed one by one


def advise(usage: Usage, config: Config) -> list[str]:
    """A sentence for each trouble: what is seen, and the keys of `config` that act against it.

    `config` is the resolved configuration of a run; no key is named that it does not hold.
    """
    troubles = {}
    if usage.unused:
        steps = int(usage.idle[usage.unused].min())
        troubles[f"{_named(usage.unused, usage.num_experts)} unused for {steps} steps"] = True
    faint = [expert for expert in usage.dead if expert not in usage.unused]
    if faint:
        troubles[f"{_named(faint, usage.num_experts)} below 1 % of a fair share"] = True
    sign = sign_of_collapse(usage)
    if sign:
        troubles[sign] = False
    return [f"{trouble}: {remedy(config, explore)}" for trouble, explore in troubles.items()]


def remedy(config: Config, explore: bool) -> str:
    """What to change so that more experts are used; `explore`: so that they are tried at all."""
    return _cannot_learn(config) or " or ".join(_remedies(config, explore))


def _named(experts: Sequence[int], num_experts: int) -> str:
    if len(experts) > MOST_NAMED:
        return f"{len(experts)} of {num_experts} experts"
    return f"expert{'s' * (len(experts) > 1)} {', '.join(map(str, experts))}"


def _cannot_learn(config: Config) -> str | None:
    """What to do where no loss can move the router."""
    target = str(value_of(config, "router._target_") or "")
    if target.endswith(FIXED_ROUTERS):
        return "this router is fixed, choose one that learns, such as router=noisy_top_k"
    frozen = value_of(config, "freeze") or []
    if "router" in ([frozen] if isinstance(frozen, str) else frozen):
        return "the router does not learn, take it out of freeze"
    return None


def _remedies(config: Config, explore: bool) -> list[str]:
    """At most two, the one that acts on the loss first."""
    balance = _raise_balance(config)
    # Not noise of 0: a router whose noise is off has another key that is in use.
    keys = [
        pair for pair in EXPLORATION if pair[0] != "router.noise_std" or value_of(config, pair[0])
    ]
    tried = [_move(config, key, verb) for key, verb in keys] if explore else []
    found = [balance, *tried, _move(config, "optimizer.lr", "lower")]
    # The same verb once: "raise A (now 1) or B (now 2)".
    first, *others = [remedy for remedy in found if remedy][:2]
    verb = first.split(" ", 1)[0]
    return [first, *(other.removeprefix(f"{verb} ") for other in others)]


def _raise_balance(config: Config) -> str:
    """The balance term in use, else the first that could be, else the losses that have one."""
    terms = value_of(config, "loss.terms") or {}
    known = [name for name in BALANCE_TERMS if name in terms]
    active = [name for name in known if terms[name]["weight"] or _end(terms[name])]
    if not known:
        return "choose loss=balanced"
    name = (active or known)[0]
    key = f"loss.terms.{name}.weight"
    if not active:
        return f"raise {key} (now 0, try {USUAL_WEIGHT})"
    end = _end(terms[name])
    if end is not None and end < terms[name]["weight"]:
        key = f"loss.terms.{name}.schedule.end"
    return _move(config, key, "raise") or ""


def _end(term: Config) -> float | None:
    end: float | None = value_of(term, "schedule.end")
    return end


def _move(config: Config, key: str, verb: str) -> str | None:
    """`raise router.noise_std (now 1)`; None where that key is missing or no number."""
    value = value_of(config, key)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{verb} {key} (now {value:g})" if is_number else None


def value_of(config: Config, key: str) -> Any:
    """The value of a dotted key, None where there is none."""
    value: Any = config
    for word in key.split("."):
        if not isinstance(value, Mapping) or word not in value:
            return None
        value = value[word]
    return value
