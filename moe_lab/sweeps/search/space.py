"""The space of a search: keys with ranges, written as Hydra writes them on a command line.

    tag(log, interval(1e-4, 1e-2))    any number in between; tag(log, ...): by order of magnitude
    interval(1, 8)                    any whole number in between, where the key takes whole numbers
    range(1, 5)                       1, 2, 3, 4
    choice(64, 128, 256)              one of these, without an order

A range ends sooner where the key's rule says so: router.top_k goes up to the trial's num_experts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from moe_lab.config.compose import Composition, compose_words
from moe_lab.config.overrides import python_value
from moe_lab.config.rules import Rule
from moe_lab.errors import ConfigError

if TYPE_CHECKING:
    from optuna.trial import Trial

DIGITS = 4  # significant ones of a proposed number: more would only make commands hard to read


@dataclass(frozen=True)
class Dimension:
    """One key of a space: the words of a choice, or the ends and the step of a range."""

    key: str
    words: tuple[str, ...] = ()  # of a choice, as one types them
    low: float = 0.0
    high: float = 0.0
    step: float | None = None  # None: any number in between
    is_log: bool = False
    is_whole: bool = False
    follows: str = ""  # key of the space whose value is the highest that this one may have
    default: Any = None  # of the composed configuration

    @property
    def numbers(self) -> list[float]:
        """The ends of a range; the numbers of a choice."""
        if not self.words:
            return [self.low, self.high]
        values = [python_value(word) for word in self.words]
        return [float(v) for v in values if isinstance(v, int | float)]

    def holds_default(self) -> bool:
        """Whether the space contains the value that the key has by default."""
        if self.words:
            return self.default_word() is not None
        is_number = isinstance(self.default, int | float) and not isinstance(self.default, bool)
        if not is_number or not self.low <= self.default <= self.high:
            return False
        steps = (self.default - self.low) / (self.step or 1)
        return self.step is None or math.isclose(steps, round(steps), abs_tol=1e-9)

    def default_word(self) -> str | None:
        """The choice that stands for the default."""
        return next((w for w in self.words if value_of_word(w) == self.default), None)

    def suggest(self, trial: Trial, highest: float) -> Any:
        """The value that a trial is given: a word of a choice, or a number up to `highest`."""
        if self.words:
            return trial.suggest_categorical(self.key, self.words)
        high = min(self.high, highest)
        if self.is_whole:
            low, step = int(self.low), int(self.step or 1)
            high = low + (int(high) - low) // step * step
            return trial.suggest_int(self.key, low, int(high), step=step, log=self.is_log)
        return trial.suggest_float(self.key, self.low, high, step=self.step, log=self.is_log)

    def spell(self, value: Any) -> str:
        """`key=value` for a value that was suggested."""
        if isinstance(value, float):
            value = float(f"{value:.{DIGITS}g}")
        return f"{self.key}={value}"


@dataclass(frozen=True)
class Space:
    """What a search varies, and the words that all of its trials share."""

    fixed: tuple[str, ...]
    ranges: tuple[str, ...]  # as typed: the same search has the same
    dimensions: tuple[Dimension, ...]  # those that others follow come first

    def default(self) -> dict[str, Any]:
        """The default value of each key, as far as the space contains it."""
        inside = [d for d in self.dimensions if d.holds_default()]
        return {d.key: d.default_word() if d.words else d.default for d in inside}

    def words_of(self, trial: Trial) -> list[str]:
        """What is typed for a trial beside the fixed words: nothing for the default, trial 0."""
        known: dict[str, Any] = {}
        only = self.default() if trial.number == 0 else None
        typed = []
        for dimension in self.dimensions:
            if only is not None and dimension.key not in only:
                continue
            highest = float(known[dimension.follows]) if dimension.follows in known else math.inf
            known[dimension.key] = dimension.suggest(trial, highest)
            typed.append(dimension.spell(known[dimension.key]))
        return [] if trial.number == 0 else typed


def make_space(words: Sequence[str]) -> Space:
    """The space of a command line; ConfigError where a range is none that can be searched."""
    overrides = [OverridesParser.create().parse_override(word) for word in words]
    swept = {o.get_key_element(): o for o in overrides if o.is_sweep_override()}
    fixed = {
        o.get_key_element(): o.input_line or ""
        for o in overrides
        if not o.is_sweep_override() and o.key_or_group != "search"
    }
    ranges = {key: override for key, override in swept.items() if key not in fixed}
    if not ranges:
        raise ConfigError(
            "there is nothing to search",
            "at least one range, such as 'optimizer.lr=tag(log,interval(1e-4,1e-2))'",
            "type a range, or search=NAME for a file in conf/search/",
        )
    composition = compose_words("train", list(fixed.values()))
    made = {key: make_dimension(o, composition, ranges) for key, o in ranges.items()}
    for dimension in made.values():
        if dimension.follows:
            refuse_out_of_bounds(dimension, made[dimension.follows])
    ordered = sorted(made.values(), key=lambda d: bool(d.follows))
    typed = sorted(o.input_line or "" for o in ranges.values())
    return Space(tuple(fixed.values()), tuple(typed), tuple(ordered))


def make_dimension(
    override: Override, composition: Composition, ranges: Mapping[str, Override]
) -> Dimension:
    """One key with its range, its default, and the key that bounds it."""
    key, typed = override.get_key_element(), override.input_line or ""
    rule = composition.rules.get(key)
    default = composition.choices.get(key, OmegaConf.select(composition.config, key))
    if OmegaConf.is_config(default):
        default = OmegaConf.to_container(default, resolve=True)
    follows = rule.high if rule is not None and rule.high in ranges else ""
    is_whole = rule is not None and rule.base == "int"
    shared: dict[str, Any] = {
        "key": key,
        "default": default,
        "follows": follows,
        "is_whole": is_whole,
    }
    if override.is_interval_sweep():
        interval: Any = override.value()
        low, high, step = float(interval.start), float(interval.end), None
    elif override.is_range_sweep() and not getattr(override.value(), "shuffle", False):
        values = [float(str(v)) for v in override.sweep_iterator()]
        low, high = values[0], values[-1]
        step = values[1] - values[0] if len(values) > 1 else 1.0
    elif override.is_choice_sweep() or override.is_range_sweep():
        return Dimension(words=tuple(override.sweep_string_iterator()), **shared)
    else:
        raise ConfigError(f"{typed} is no range", "choice(...), range(...) or interval(...)")
    tags: set[str] = set(getattr(override.value(), "tags", ()))
    refuse_strange_range(typed, rule, low, high, step, tags)
    return Dimension(low=low, high=high, step=step, is_log="log" in tags, **shared)


def refuse_strange_range(
    typed: str, rule: Rule | None, low: float, high: float, step: float | None, tags: set[str]
) -> None:
    """ConfigError for ends, tags and keys that make no sense together."""
    if rule is None or rule.base not in ("int", "float"):
        raise ConfigError(f"{typed}: the key takes no number", "choice(...) of what it takes")
    if not low <= high or ("log" in tags and low <= 0):
        raise ConfigError(f"{typed} is no range", "low <= high, and above 0 with tag(log, ...)")
    if tags - {"log"} or ("log" in tags and step is not None):
        raise ConfigError(f"{typed}: a tag without meaning", "tag(log, interval(low, high))")
    is_whole = all(float(end).is_integer() for end in (low, high, step or 1.0))
    if rule.base == "int" and not is_whole:
        raise ConfigError(f"{typed}: the key takes whole numbers", "whole numbers as ends")


def refuse_out_of_bounds(dimension: Dimension, bound: Dimension) -> None:
    """A range is cut at the value of the key that it follows; what cannot be cut is refused."""
    least = min(bound.numbers, default=math.inf)
    asked = max(dimension.numbers, default=0) if dimension.words else dimension.low
    if asked > least:
        raise ConfigError(
            f"{dimension.key} would be {asked:g} with {bound.key}={least:g}",
            f"{dimension.key} up to {bound.key}: a range(...) is cut there, a choice(...) is not",
        )


def value_of_word(word: str) -> Any:
    """The Python value of one word of a choice."""
    value: Any = OverridesParser.create().parse_override(f"x={word}").value()
    return getattr(value, "text", value)
