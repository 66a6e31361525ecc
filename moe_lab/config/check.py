"""Checks a whole command line before anything runs, and names every mistake in it at once.

Hydra stops at the first mistake, lets `+typo=1` through and knows no ranges. So the words are
parsed and composed here, against the rules written in the configuration files; what passes is
composed once and runs as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from moe_lab.config.compose import Composer, Composition, composer
from moe_lab.config.overrides import first_value, package_of, place_of, values_of
from moe_lab.config.rules import Rule
from moe_lab.config.spelling import nearest
from moe_lab.config.targets import EXPECTED, judge_name, targets_in
from moe_lab.config.tree import Mistake, check_tree, is_plumbing, parts_do_not_fit, spell
from moe_lab.config.trust import trusting
from moe_lab.errors import ConfigError

# What of Hydra's own node may be typed: the rest would be accepted and ignored.
NOT_OF_HYDRA = (
    "of Hydra's own settings only hydra/launcher, hydra/sweeper and the keys in them may be typed; "
    "folders follow from run_dir"
)
OF_HYDRA = ("hydra/launcher", "hydra/sweeper", "hydra.launcher.", "hydra.sweeper.")


class CommandLineError(ConfigError):
    """All that is wrong with a command line."""

    def __init__(self, command: str, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = list(mistakes)
        self.help = f"python -m moe_lab {command} --help"
        super().__init__("\n".join(str(mistake) for mistake in mistakes))

    def lines(self) -> list[str]:
        count = len(self.mistakes)
        heading = (
            f"  {count} mistake{'s' if count > 1 else ''} on the command line; nothing was run"
        )
        shown = [str(mistake) for mistake in self.mistakes]
        return [heading, "", *shown, "", f"  {self.help} lists what there is"]


def check_line(command: str, words: Sequence[str], multirun: bool = False) -> list[Composition]:
    """Every job of a command line, composed and checked; ConfigError lists all mistakes in it."""
    with composer(command) as composing:
        try:
            return _Checker(composing, multirun).check(words)
        except OmegaConfBaseException as error:
            raise parts_do_not_fit(error) from None
        except (HydraException, ValueError) as error:
            first_lines = " ".join(str(error).split())
            raise ConfigError(first_lines, todo=f"python -m moe_lab {command} --help") from None


def check_overrides(command: str, words: Sequence[str], multirun: bool = False) -> DictConfig:
    """The configuration of the first job of a command line that is right."""
    return check_line(command, words, multirun)[0].config


def foreign_names(config: DictConfig) -> list[Mistake]:
    """Targets that may not be built, as far as their names tell without an import."""
    with trusting(config.get("trust")):
        refused = [
            judge_name(place, target, place.partition(".")[0])
            for place, target in targets_in(OmegaConf.to_container(config))
            if not str(target).startswith("${")
        ]
    return [Mistake(r.place, f"{r.problem}; {r.todo or EXPECTED}") for r in refused if r]


class _Checker:
    """The steps of a check, each of which adds to the list of mistakes."""

    def __init__(self, composing: Composer, multirun: bool) -> None:
        self.composer, self.multirun = composing, multirun
        self.groups = composing.groups
        self.mistakes: list[Mistake] = []
        self.searching = False

    def check(self, lines: Sequence[str]) -> list[Composition]:
        self.searching = any(line.startswith("hydra/sweeper=") for line in lines)
        overrides = self._parse(lines)
        groups = self._existing_groups([o for o in overrides if self._is_group(o)])
        rules = self.composer.rules([first_value(o) for o in groups])
        settings = [o for o in overrides if not self._is_group(o)]
        sound = [o for o in settings if self._is_sound(o, rules)]
        jobs = self._check_jobs([*groups, *sound])
        if self.mistakes:
            raise CommandLineError(self.composer.command, self.mistakes)
        return jobs

    def _parse(self, lines: Sequence[str]) -> list[Override]:
        parser = OverridesParser.create(self.composer.loader)  # which a glob(...) asks
        parsed = []
        for line in lines:
            try:
                override = parser.parse_override(line)
            except HydraException:
                self._add(line, "expected key=value, quoted if the value has spaces or commas")
                continue
            if override.is_sweep_override() and not self.multirun:
                self._add(line, "several values need -m in front: python -m moe_lab.train -m ...")
            elif override.is_interval_sweep() and not self.searching:
                self._add(line, "interval(...) is a range for a search: add hydra/sweeper=optuna")
            elif override.key_or_group.startswith("hydra") and not line.startswith(OF_HYDRA):
                self._add(line, NOT_OF_HYDRA)
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
            self.composer.choices([first_value(o) for o in existing])
            return existing
        except HydraException:
            return self._fitting_groups(existing)

    def _options_exist(self, override: Override) -> bool:
        group = override.key_or_group
        options = self.composer.options(group)
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
        primary = {g: i for i, g in enumerate(self.composer.choices([]))}
        for override in sorted(overrides, key=lambda o: primary.get(place_of(o), len(primary))):
            group, line = place_of(override), override.input_line or ""
            selected = [first_value(o) for o in fitting]
            in_use = self.composer.choices(selected)
            if override.type == OverrideType.CHANGE and group not in in_use:
                having = ", ".join(in_use)
                chosen = " ".join(selected) or "the default model"
                near = nearest(group, in_use) if override.package else ""
                problem = f"nothing in {chosen} uses a {group}{near}; groups in use: {having}"
                self._add(line, problem)
            else:
                fitting.append(override)
        return fitting

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

    def _check_jobs(self, overrides: Sequence[Override]) -> list[Composition]:
        """Compose every job of the line as it will run and check all of its values."""
        jobs = []
        for words in self._jobs(overrides):
            job = self.composer.compose(words)
            jobs.append(job)
            for mistake in [*check_tree(job.config, dict(job.rules)), *foreign_names(job.config)]:
                if mistake not in self.mistakes:
                    self.mistakes.append(mistake)
        return jobs

    def _jobs(self, overrides: Sequence[Override]) -> list[tuple[str, ...]]:
        """The words of each job: every combination of the values of swept keys."""
        if self.searching:
            # Its jobs are not known yet: the first is the default of every key with a range.
            return [tuple(o.input_line or "" for o in overrides if not o.is_sweep_override())]
        choices = [
            [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
            if o.is_sweep_override()
            else [o.input_line or ""]
            for o in overrides
        ]
        return list(itertools.product(*choices))

    def _add(self, where: str, problem: str) -> None:
        self.mistakes.append(Mistake(where, problem))
