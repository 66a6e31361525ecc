"""The settings of a run beside what the same choices compose to by default."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from moe_lab.config.compose import composer
from moe_lab.config.help import GROUPS
from moe_lab.config.overrides import bare
from moe_lab.config.rules import Rule
from moe_lab.config.tree import NOT_HASHED, is_plumbing, spell

PRESETS = ("experiment", "debug")  # what these set is a difference, not a default
FROM_DATA = ("dataset.shape", "dataset.num_classes", "dataset.mean", "dataset.std")
UNREMARKABLE = NOT_HASHED - {"seed"}  # keys that say where a run is kept or how it is shown
PLACES = ("${run_dir}", "${run_name}")
ABSENT = "none"


@dataclass(frozen=True)
class Setting:
    """One key: what it is by default and in this run, as one would type it."""

    key: str
    default: str
    value: str
    differs: bool
    meaning: str


@dataclass(frozen=True)
class Defaults:
    """What a set of choices composes to when nothing else is typed."""

    choices: Mapping[str, Any]  # group -> option that `train` and the chosen model bring
    config: DictConfig
    rules: Mapping[str, Rule]


def compare_settings(
    config: Mapping[str, Any], choices: Mapping[str, str]
) -> tuple[list[Setting], bool]:
    """Every setting of a run, choices first, and whether there were defaults to compare with.

    There are none where an option that the run used has gone from the configuration files.
    """
    mine = dict(flat(config))
    try:
        defaults = compose_defaults(tuple(choices.items()))
        keys = list(compare_keys(mine, defaults))
    except (HydraException, OmegaConfBaseException):
        return [Setting(key, "", spell(value), False, "") for key, value in mine.items()], False
    groups = [
        Setting(place, str(defaults.choices.get(place) or ABSENT), str(option), True, GROUPS[group])
        for place, option in choices.items()
        if (group := bare(place)) in GROUPS and option != defaults.choices.get(place)
    ]
    return [*groups, *keys], True


@functools.lru_cache(maxsize=8)
def compose_defaults(chosen: tuple[tuple[str, str], ...]) -> Defaults:
    """Compose the choices of a run, (group, option) each, without any other setting."""
    choices = dict(chosen)
    with composer("train") as composing:
        known = composing.groups
        typed = [f"{g}={o}" for g, o in choices.items() if bare(g) in known and g not in PRESETS]
        brought = composing.choices([])
        if "model" in choices and choices["model"] != brought["model"]:
            with_model = composing.choices([f"model={choices['model']}"])
            brought = {**with_model, "model": brought["model"]}
        found = composing.compose(typed)
    return Defaults(brought, found.config, found.rules)


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a plain tree with its dotted key, less what says nothing about a result."""
    for name, value in tree.items():
        if str(name) in UNREMARKABLE or is_plumbing(str(name)):
            continue
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def compare_keys(mine: Mapping[str, Any], defaults: Defaults) -> Iterator[Setting]:
    """A key that merely follows another one is no difference of its own."""
    unresolved = OmegaConf.to_container(defaults.config, resolve=False)
    assert isinstance(unresolved, dict)
    raw = dict(flat({str(name): value for name, value in unresolved.items()}))
    followed = copy.deepcopy(defaults.config)
    for key, value in raw.items():
        if key in mine and not follows(value):
            OmegaConf.update(followed, key, mine[key])
    for key, value in mine.items():
        if any(place in str(raw.get(key)) for place in PLACES):
            continue
        rule = defaults.rules.get(key)
        meaning = rule.meaning if rule else ""
        if key in raw:
            default = resolved(defaults.config, key)
            expected = resolved(followed, key) if follows(raw[key]) else default
            read = key in FROM_DATA and (default is None or (rule is not None and rule.is_wired))
            differs = not (read or same(expected, value))
            yield Setting(key, spell(default), spell(value), differs, meaning)
        elif not any(key.startswith(f"{known}.") for known in raw):
            yield Setting(key, ABSENT, spell(value), True, meaning)


def follows(value: Any) -> bool:
    """Whether an unresolved value refers to other keys."""
    return "${" in str(value)


def resolved(config: DictConfig, key: str) -> Any:
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value) if OmegaConf.is_list(value) else value


def same(expected: Any, value: Any) -> bool:
    """Equal but for rounding to float32; one number stands for a list of it."""
    if isinstance(value, list) and isinstance(expected, float | int):
        return all(same(expected, item) for item in value)
    if isinstance(value, list) and isinstance(expected, list) and len(value) == len(expected):
        return all(map(same, expected, value))
    if isinstance(value, float) and isinstance(expected, float | int):
        return math.isclose(expected, value, rel_tol=1e-6)
    return bool(expected == value)
