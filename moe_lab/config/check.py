"""Checks a whole command line before anything runs, and names every mistake in it at once.

Hydra stops at the first mistake, lets `+typo=1` through and knows no ranges. So the overrides are
parsed and composed here first, against the rules written in the configuration files; what passes
goes on to Hydra unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.defaults_list import DefaultsList
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from moe_lab.config.location import configuration_folder
from moe_lab.config.overrides import bare, first_choice, package_of, place_of, values_of
from moe_lab.config.rules import Rule
from moe_lab.config.spelling import nearest
from moe_lab.config.tree import (
    Mistake,
    check_tree,
    is_plumbing,
    parts_do_not_fit,
    rules_of,
    spell,
)
from moe_lab.errors import ConfigError

SEARCHING = "hydra/sweeper=optuna"
MOST_JOBS_CHECKED = 256  # a larger sweep is checked job by job as it runs


class CommandLineError(ConfigError):
    """All that is wrong with a command line."""

    def __init__(self, config_name: str, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = list(mistakes)
        self.help = f"python -m moe_lab.{config_name} --help"
        super().__init__("\n".join(str(mistake) for mistake in mistakes))

    def lines(self) -> list[str]:
        count = len(self.mistakes)
        heading = (
            f"  {count} mistake{'s' if count > 1 else ''} on the command line; nothing was run"
        )
        shown = [str(mistake) for mistake in self.mistakes]
        return [heading, "", *shown, "", f"  {self.help} lists what there is"]


# What the command line of a job was, and what it composes to, with Hydra's node.
OnJob = Callable[[Sequence[str], DictConfig], None]


def check_overrides(
    config_name: str, overrides: Sequence[str], multirun: bool, on_job: OnJob | None = None
) -> DictConfig:
    """Compose the first job of a command line; ConfigError lists every mistake in it.

    `on_job` is called with every job, while Hydra knows it as the current one.
    """
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        checker = _Checker(loader, config_name, multirun, on_job)
        try:
            config = checker.check(overrides)
            with open_dict(config):
                del config["hydra"]  # part of it is only filled in when a job starts
            return config
        except OmegaConfBaseException as error:
            raise parts_do_not_fit(error) from None
        except (HydraException, ValueError) as error:
            first_lines = " ".join(str(error).split())
            raise ConfigError(first_lines, todo=f"python -m moe_lab.{config_name} --help") from None


class _Checker:
    """The steps of a check, each of which adds to the list of mistakes."""

    def __init__(
        self,
        loader: ConfigLoader,
        config_name: str,
        multirun: bool,
        on_job: OnJob | None = None,
    ) -> None:
        self.loader, self.config_name, self.multirun = loader, config_name, multirun
        self.on_job = on_job
        self.groups = [group for group in loader.list_groups("") if group != "hydra"]
        self.mistakes: list[Mistake] = []
        self.defaults: dict[tuple[str, ...], DefaultsList] = {}

    def check(self, lines: Sequence[str]) -> DictConfig:
        overrides = self._parse(lines)
        groups = self._existing_groups([o for o in overrides if self._is_group(o)])
        rules = self._rules([first_choice(o) for o in groups])
        settings = [o for o in overrides if not self._is_group(o)]
        sound = [o for o in settings if self._is_sound(o, rules)]
        config = self._check_jobs([o.input_line or "" for o in (*groups, *sound)])
        if self.mistakes:
            raise CommandLineError(self.config_name, self.mistakes)
        return config

    def _parse(self, lines: Sequence[str]) -> list[Override]:
        parser = OverridesParser.create()
        parsed = []
        for line in lines:
            try:
                override = parser.parse_override(line)
            except HydraException:
                self._add(line, "expected key=value, quoted if the value has spaces or commas")
                continue
            if override.is_sweep_override() and not self.multirun:
                self._add(line, "several values need -m in front: python -m moe_lab.train -m ...")
            elif override.is_interval_sweep() and SEARCHING not in lines:
                self._add(line, f"interval(...) is a range for a search: add {SEARCHING}")
            else:
                parsed.append(override)
        return parsed

    def _is_group(self, override: Override) -> bool:
        key = override.key_or_group
        return key in self.groups or key.startswith("hydra/")

    def _existing_groups(self, overrides: list[Override]) -> list[Override]:
        """The group choices that exist and fit together; the others become mistakes."""
        existing = [override for override in overrides if self._options_exist(override)]
        try:
            self._choices([first_choice(o) for o in existing])
            return existing
        except HydraException:
            return self._fitting_groups(existing)

    def _options_exist(self, override: Override) -> bool:
        group = override.key_or_group
        options = self.loader.get_group_options(group)
        wrong = [v for v in values_of(override) if v is not None and str(v) not in options]
        for value in wrong:
            hint = f"{nearest(str(value), options)}\n      {group}: {', '.join(options)}"
            if group == "hydra/launcher":
                hint = package_of(str(value)) or hint
            self._add(f"{place_of(override)}={value}", f"no such {group}{hint}")
        return not wrong

    def _fitting_groups(self, overrides: list[Override]) -> list[Override]:
        """Where they do not fit together: which of them stands in the way."""
        fitting: list[Override] = []
        primary = {g: i for i, g in enumerate(self._choices([]))}
        for override in sorted(overrides, key=lambda o: primary.get(place_of(o), len(primary))):
            group, line = place_of(override), override.input_line or ""
            selected = [first_choice(o) for o in fitting]
            if override.type == OverrideType.CHANGE and group not in self._choices(selected):
                having = ", ".join(self._choices(selected))
                chosen = " ".join(selected) or "the default model"
                near = nearest(group, self._choices(selected)) if override.package else ""
                problem = f"nothing in {chosen} uses a {group}{near}; groups in use: {having}"
                self._add(line, problem)
            else:
                fitting.append(override)
        return fitting

    def _defaults(self, overrides: list[str]) -> DefaultsList:
        # Hydra reads all the files anew each time, which takes most of a second for a sweep.
        key = tuple(overrides)
        if key not in self.defaults:
            found = self.loader.compute_defaults_list(self.config_name, overrides, RunMode.RUN)
            self.defaults[key] = found
        return self.defaults[key]

    def _choices(self, overrides: list[str]) -> dict[str, Any]:
        choices = self._defaults(overrides).overrides.known_choices
        return {group: choice for group, choice in choices.items() if bare(group) in self.groups}

    def _rules(self, overrides: list[str]) -> dict[str, Rule]:
        return rules_of(self._defaults(overrides))

    def _compose(self, overrides: list[str]) -> DictConfig:
        config = compose(self.config_name, list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(config)  # for ${hydra:runtime.choices...}
        return config

    def _is_sound(self, override: Override, rules: dict[str, Rule]) -> bool:
        """Whether a key exists and its values are allowed, as far as that depends on no other
        key.
        """
        key, line = override.key_or_group, override.input_line or ""
        before = len(self.mistakes)
        if (key.startswith("hydra.") and key not in rules) or override.is_delete():
            return True
        if key not in rules and not any(known.startswith(f"{key}.") for known in rules):
            node = key.rpartition(".")[0]
            if not (is_plumbing(key) and any(known.startswith(f"{node}.") for known in rules)):
                self._add(line, f"there is no key '{key}'{nearest(key, [*rules, *self.groups])}")
        elif key in rules and rules[key].is_wired:
            self._add(line, f"'{key}' follows from other settings: {rules[key].meaning}")
        elif key in rules:
            for value in values_of(override):
                expected = rules[key].check(value, lambda other: None)
                if expected and not str(value).startswith("${"):
                    meaning = rules[key].meaning
                    self._add(f"{key}={spell(value)}", f"expected {expected}; {meaning}")
        return len(self.mistakes) == before

    def _check_jobs(self, lines: list[str]) -> DictConfig:
        """Compose every job of the line as it will run and check all of its values."""
        jobs = self._jobs(lines)
        config = DictConfig({})
        for place, job in enumerate(jobs):
            if place >= MOST_JOBS_CHECKED and self.on_job is None:
                break
            config = self._compose(job)
            if self.on_job is not None and not self.mistakes:
                self.on_job(job, config)
            if place >= MOST_JOBS_CHECKED:
                continue
            groups = [line for line in job if bare(line.split("=")[0].lstrip("+~")) in self.groups]
            for mistake in check_tree(config, self._rules(groups)):
                if mistake not in self.mistakes:
                    self.mistakes.append(mistake)
        return config if len(jobs) == 1 else self._compose(jobs[0])

    def _jobs(self, lines: list[str]) -> list[list[str]]:
        if not self.multirun:
            return [lines]
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        overrides = OverridesParser.create().parse_overrides(lines)
        if SEARCHING in lines:
            # Its jobs are not known yet: the first is the default of every key with a range.
            return [[o.input_line or "" for o in overrides if not o.is_sweep_override()]]
        batches = BasicSweeper.split_arguments(overrides, max_batch_size=None)
        return [list(job) for batch in batches for job in batch]

    def _add(self, where: str, problem: str) -> None:
        self.mistakes.append(Mistake(where, problem))
