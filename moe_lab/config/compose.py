"""The one way to compose: words of a command line -> configuration, choices and rules.

Everything that needs a configuration - a job, a plan, a proposal of a search, the command that
repeats a run, the defaults that a report compares with - comes from here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from moe_lab.config.location import configuration_folder
from moe_lab.config.overrides import bare
from moe_lab.config.resolvers import register_resolvers
from moe_lab.config.rules import Rule, places_in_file, rules_in_file

Origin = tuple[Path, int, str]  # file, line, and the value as written


@dataclass(frozen=True)
class Known:
    """What the group choices alone decide."""

    choices: dict[str, Any]
    rules: dict[str, Rule]
    places: dict[str, Origin]


@dataclass(frozen=True)
class Composition:
    """What the words of one job compose to."""

    command: str  # whose main file: train, audit, ...
    words: tuple[str, ...]  # as typed
    config: DictConfig  # without Hydra's node
    choices: Mapping[str, str]  # the option in each group, where one is chosen
    rules: Mapping[str, Rule]  # of each key
    places: Mapping[str, Origin]  # where the value of each key stands in the files
    hydra: DictConfig  # Hydra's own node: launcher and sweeper

    def plain(self) -> dict[str, Any]:
        """The configuration as plain containers, resolved."""
        content = OmegaConf.to_container(self.config, resolve=True)
        assert isinstance(content, dict)
        return {str(key): value for key, value in content.items()}

    def with_option(self, group: str, option: str) -> Composition:
        """The same words with another option in one group."""
        kept = [word for word in self.words if not word.startswith(f"{group}=")]
        return compose_words(self.command, [*kept, f"{group}={option}"])


@functools.lru_cache(maxsize=512)
def compose_cached(command: str, words: tuple[str, ...]) -> Composition:
    """`compose_words` for compositions that are only read."""
    return compose_words(command, words)


def compose_words(command: str, words: Sequence[str]) -> Composition:
    """Compose the words of one job; errors are Hydra's and OmegaConf's own."""
    with composer(command) as composing:
        return composing.compose(words)


@contextmanager
def composer(command: str) -> Iterator[Composer]:
    """A composer for one command, beside whatever else Hydra holds in this process.

    Hydra keeps its state in singletons, and a launcher's worker or a notebook may be using them:
    they are put away and brought back.
    """
    register_resolvers()
    application, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
            yield Composer(command, GlobalHydra.instance().config_loader())
    finally:
        GlobalHydra.instance().hydra = application
        HydraConfig.instance().cfg = config


class Composer:
    """Reads the configuration files for one command; files that were read are remembered."""

    def __init__(self, command: str, loader: ConfigLoader) -> None:
        self.command, self.loader = command, loader
        self.groups = [group for group in loader.list_groups("") if group != "hydra"]
        self._known: dict[tuple[str, ...], Known] = {}

    def options(self, group: str) -> list[str]:
        """The names that can be typed after GROUP=, for Hydra's own groups too."""
        return list(self.loader.get_group_options(group))

    def choices(self, words: Sequence[str]) -> dict[str, Any]:
        """The option in each group; a HydraException where the groups do not fit together."""
        return self._defaults(words).choices

    def rules(self, words: Sequence[str]) -> dict[str, Rule]:
        """The rule of each key that these words lead to."""
        return self._defaults(words).rules

    def compose(self, words: Sequence[str]) -> Composition:
        config = hydra_compose(self.command, list(words), return_hydra_config=True)
        HydraConfig.instance().set_config(config)  # for ${hydra:runtime.choices...}
        known = self._defaults([w for w in words if self.is_group_word(w)])
        composed = composition_of(self.command, words, config, config.hydra, self.groups)
        return replace(composed, rules=known.rules, places=known.places)

    def is_group_word(self, word: str) -> bool:
        """Whether a word chooses an option of a group, and so decides which keys there are."""
        return bare(word.split("=")[0].lstrip("+~")) in self.groups

    def _defaults(self, words: Sequence[str]) -> Known:
        # Hydra reads all the files anew each time, which takes most of a second for a sweep.
        key = tuple(words)
        if key not in self._known:
            found = self.loader.compute_defaults_list(self.command, list(words), RunMode.RUN)
            known = found.overrides.known_choices
            choices = {
                group: option for group, option in known.items() if bare(group) in self.groups
            }
            rules: dict[str, Rule] = {}
            places: dict[str, Origin] = {}
            for prefix, path in files_of(found.defaults):
                rules |= {prefix + name: rule for name, rule in rules_in_file(path).items()}
                places |= {prefix + name: place for name, place in places_in_file(path).items()}
            self._known[key] = Known(choices, rules, places)
        return self._known[key]


def composition_of(
    command: str,
    words: Sequence[str],
    config: DictConfig,
    hydra: DictConfig,
    groups: Sequence[str] | None = None,
) -> Composition:
    """What Hydra has composed, while it is the current configuration; without rules.

    What Hydra would compute anew at every look, such as the time in `run_dir`, is written down.
    """
    config = config.copy()
    with open_dict(config):
        config.pop("hydra", None)
    for key in ("run_name", "run_dir"):  # run_dir contains run_name
        if key in config and not OmegaConf.is_missing(config, key):
            config[key] = config[key]
    known = {str(g): str(o) for g, o in hydra.runtime.choices.items() if o is not None}
    choices = {
        place: option
        for place, option in known.items()
        if (bare(place) in groups if groups is not None else not place.startswith("hydra/"))
    }
    return Composition(command, tuple(words), config, choices, {}, {}, hydra)


# Nodes of the configuration that an option brings with it.
CARRIED = {"router": ("router", "gate", "temperature")}


def assemble(model: str, chosen: Mapping[str, str], settings: tuple[str, ...]) -> DictConfig:
    """What `model=... GROUP=OPTION ... settings` composes to, for the parts of a model.

    Composing takes Hydra a sixth of a second, and an audit of the grid asks for thousands: so each
    option is composed once and its nodes are put together.
    """
    content = dict(unresolved(model, "", "", settings))
    for group, option in chosen.items():
        nodes = unresolved("standard", group, option, settings)
        names = CARRIED.get(group, (group,))
        content |= {name: nodes[name] for name in names if name in nodes}
    return OmegaConf.create(content)


@functools.cache
def unresolved(model: str, group: str, option: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """The nodes of one composition of conf/audit.yaml, with their references."""
    typed = [f"{group}={option}"] if group else []
    config = compose_words("audit", [*settings, f"model={model}", *typed]).config
    content = OmegaConf.to_container(config, resolve=False)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def files_of(parts: Sequence[ResultDefault]) -> Iterator[tuple[str, Path]]:
    """The files that make up a configuration, later ones on top, and the prefix of their keys."""
    folder = configuration_folder()
    for part in parts:
        path = folder / f"{part.config_path}.yaml"
        if part.config_path is not None and path.is_file():
            yield f"{part.package}." if part.package else "", path
