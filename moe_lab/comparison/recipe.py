"""The command line that trains a recorded configuration again, worked out from the record.

What was typed is no use: a sweep's line stands for all of its jobs. So the record is compared
with what its choices compose to, and every key that differs becomes an override.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from moe_lab.config.compose import compose_cached, compose_words
from moe_lab.config.launch import quoted
from moe_lab.config.tree import NOT_HASHED
from moe_lab.training.run_directory import config_hash

Draw = tuple[int, int]  # seed and split seed, in which the runs of one configuration differ
ABSENT_KEY = object()
NOT_CHOSEN = {"dataset_requested", "logger"}  # entries of `choices` that do not shape a run
SPLIT_SEED = "dataset.split_seed"
ROOT = "dataset.root"  # not hashed, but without it a line does not find its data
FILLED_IN = ("dataset.shape", "dataset.num_classes", "dataset.mean", "dataset.std")
BARE_WORD = re.compile(r"[A-Za-z_./][\w./-]*$")
KEYWORDS = ("null", "true", "false", "nan", "inf")  # what a bare word would become


@dataclass(frozen=True)
class Composed:
    """What a set of choices composes to: the option in each group, and the value of each key that
    can be typed.
    """

    choices: Mapping[str, str]
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """The overrides by key that make a configuration; `exact` says that they compose to it. `root`
    is the folder of the data where that is not the default one.
    """

    overrides: Mapping[str, Any]
    exact: bool
    root: str | None = None

    def words(self) -> list[str]:
        """The overrides as one types them."""
        return [f"{key}={hydra_value(value)}" for key, value in self.overrides.items()]

    def command(self, draws: Sequence[Draw]) -> str:
        """A line for a shell; several seeds make a sweep. Split seeds that are neither one for all
        nor those of the runs take a line each.
        """
        splits = list(dict.fromkeys(split_seed for _, split_seed in draws))
        if len(splits) == 1:
            return self._line([seed for seed, _ in draws], [])
        if all(seed == split_seed for seed, split_seed in draws):
            return self._line([seed for seed, _ in draws], [f"{SPLIT_SEED}=${{seed}}"])
        return " && ".join(
            self._line([seed for seed, own in draws if own == split], [f"{SPLIT_SEED}={split}"])
            for split in splits
        )

    def _line(self, seeds: Sequence[int], words: Sequence[str]) -> str:
        flag = ["-m"] if len(seeds) > 1 else []
        root = [] if self.root is None else [f"{ROOT}={hydra_value(self.root)}"]
        seed = f"seed={','.join(map(str, seeds))}"
        line = ["python", "-m", "moe_lab.train", *flag, *self.words(), *root, *words, seed]
        return shlex.join(line)


def find_recipe(
    config: Mapping[str, Any], choices: Mapping[str, Any], typed: Sequence[str] = ()
) -> Recipe:
    """The fewest overrides of the default configuration that make a recorded one.

    `typed` is the recorded command line: only it tells pixel statistics that were given from those
    that were measured.
    """
    wanted = {key: str(value) for key, value in choices.items() if key not in NOT_CHOSEN}
    try:
        selected, composed = select(wanted)
    except HydraException:  # an option that has been renamed or removed since
        return Recipe(wanted, exact=False)
    overrides: dict[str, Any] = dict(selected)
    for key, value in composed.values.items():
        recorded = value_at(config, key)
        measured = key in FILLED_IN and not any(word.startswith(f"{key}=") for word in typed)
        if not measured and recorded is not ABSENT_KEY and recorded != value:
            overrides[key] = recorded
    return Recipe(overrides, composes_to(overrides, config), other_root(config))


def other_root(config: Mapping[str, Any]) -> str | None:
    """The folder of the data, unless it is where commands look without being told."""
    recorded = value_at(config, ROOT)
    if recorded is ABSENT_KEY:
        return None
    default = OmegaConf.select(compose_cached("train", ()).config, ROOT)
    return None if recorded == default else str(recorded)


def select(wanted: Mapping[str, str]) -> tuple[dict[str, str], Composed]:
    """The choices that lead to all of the wanted ones, and what they compose to."""
    selected: dict[str, str] = {}
    composed = choices_to_values(())
    # An experiment or a model brings choices of its own: only what it leaves open is typed.
    for key in sorted(wanted, key=lambda key: (key != "experiment", key != "model")):
        if composed.choices.get(key) != wanted[key]:
            selected[key] = wanted[key]
            composed = choices_to_values(tuple(f"{k}={v}" for k, v in selected.items()))
    return selected, composed


def choices_to_values(overrides: tuple[str, ...]) -> Composed:
    """Compose choices of options; the value of every key that can be typed."""
    found = compose_cached("train", overrides)
    typeable = [
        key
        for key, rule in found.rules.items()
        if not rule.is_wired and not NOT_HASHED & set(key.split("."))
    ]
    values = {key: plain(OmegaConf.select(found.config, key)) for key in typeable}
    return Composed(found.choices, values)


def composes_to(overrides: Mapping[str, Any], recorded: Mapping[str, Any]) -> bool:
    """Whether overrides give the recorded configuration, by its hash."""
    words = [f"{key}={hydra_value(value)}" for key, value in overrides.items()]
    try:
        config = compose_words("train", words).config
        fill_in(config, recorded)
        return config_hash(plain(config)) == config_hash(dict(recorded))
    except (HydraException, OmegaConfBaseException):
        return False


def fill_in(config: DictConfig, recorded: Mapping[str, Any]) -> None:
    """Write what a run learned from its data into a composed configuration."""
    for key in FILLED_IN:
        value = value_at(recorded, key)
        if value is not ABSENT_KEY:
            OmegaConf.update(config, key, value)


def plain(value: Any) -> Any:
    """Containers of OmegaConf as those of Python, resolved."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def value_at(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, ABSENT_KEY where there is none."""
    node: Any = config
    for name in key.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return ABSENT_KEY
        node = node[name]
    return node


def with_value(config: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a dotted key, if that is there."""
    name, _, rest = key.partition(".")
    if name not in config:
        return dict(config)
    return {**config, name: with_value(config[name], rest, value) if rest else value}


def hydra_value(value: Any) -> str:
    """A value in the grammar of the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return "[" + ",".join(hydra_value(item) for item in value) + "]"
    if isinstance(value, str):
        is_word = BARE_WORD.match(value) and value.lower() not in KEYWORDS
        return value if is_word else quoted(value)
    return str(value)
