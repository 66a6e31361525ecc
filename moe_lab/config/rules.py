"""What a key may be, read from the comment behind it: `top_k: 2  # int 1..model.num_experts;
experts used`.

rule    := base [" or list"] [" or null"]
base    := "bool" | "text" | "list" | "path" | "wired" | "one of a | b" | ("int" | "float") [bounds]
bounds  := "> x" | ">= x" | "low..high"      high may name another key
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Lookup = Callable[[str], Any]  # value of another key, or None where there is none
_NUMBER = re.compile(r"(int|float)(?: (?:(>=|>) (\S+)|(\S+?)\.\.(\S+)))?$")


@dataclass(frozen=True)
class Rule:
    """What one key accepts; `check` returns nothing, or the sentence that says what was
    expected.
    """

    text: str
    meaning: str
    base: str
    optional: bool = False
    many: bool = False
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    low_is_open: bool = False
    high: str = ""  # a number or another key

    @property
    def is_wired(self) -> bool:
        return self.base == "wired"

    def check(self, value: Any, lookup: Lookup) -> str | None:
        """None if `value` is allowed, else what is."""
        if self.is_wired:
            return None
        if value is None:
            return None if self.optional else self.expected(lookup)
        if self.many and isinstance(value, list | tuple):
            return next((m for m in (self._check_one(v, lookup) for v in value) if m), None)
        return self._check_one(value, lookup)

    def _check_one(self, value: Any, lookup: Lookup) -> str | None:
        if self.base == "bool":
            allowed = isinstance(value, bool)
        elif self.base == "one of":
            spelled = str(value).lower() if isinstance(value, bool) else str(value)
            allowed = spelled in self.choices
        elif self.base == "list":
            allowed = isinstance(value, list) and value != []
        elif self.base in ("text", "path"):
            allowed = isinstance(value, str | int | float) and value != ""
        else:
            allowed = self._is_number(value) and self._in_range(float(value), lookup)
        return None if allowed else self.expected(lookup)

    def _is_number(self, value: Any) -> bool:
        kinds = (int,) if self.base == "int" else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)

    def _in_range(self, value: float, lookup: Lookup) -> bool:
        above = value > self.low if self.low_is_open else value >= self.low
        return above and value <= self._highest(lookup)

    def _highest(self, lookup: Lookup) -> float:
        if not self.high:
            return math.inf
        try:
            return float(self.high)
        except ValueError:
            value = lookup(self.high)
            return float(value) if isinstance(value, int | float) else math.inf

    def expected(self, lookup: Lookup) -> str:
        """The rule as text, with the present value of another key that bounds it."""
        highest = self._highest(lookup)
        if self.high and str(highest) != "inf" and not self.high[0].isdigit():
            return f"{self.text} = {highest:g}"
        return self.text


def parse_rule(comment: str) -> Rule | None:
    """The rule in a comment, or None where the comment holds none."""
    text, _, meaning = (part.strip() for part in comment.partition(";"))
    base, optional, many = text, False, False
    if base.endswith(" or null"):
        base, optional = base.removesuffix(" or null"), True
    if base.endswith(" or list"):
        base, many = base.removesuffix(" or list"), True
    shared = {"text": text, "meaning": meaning, "optional": optional, "many": many}
    if base in ("bool", "text", "path", "list", "wired"):
        return Rule(base=base, **shared)  # type: ignore[arg-type]
    if base.startswith("one of "):
        choices = tuple(word.strip() for word in base.removeprefix("one of ").split("|"))
        return Rule(base="one of", choices=choices, **shared)  # type: ignore[arg-type]
    match = _NUMBER.match(base)
    if not match:
        return None
    kind, sign, bound, low, high = match.groups()
    return Rule(
        base=kind,
        low=float(bound or low or -math.inf),
        low_is_open=sign == ">",
        high=high or "",
        **shared,  # type: ignore[arg-type]
    )


@functools.cache
def rules_in_file(path: Path) -> dict[str, Rule]:
    """Every commented key of a configuration file, by its dotted name inside that file."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    rules = {}
    for key, line_number in _leaves(yaml.compose(text)):
        _, hash_sign, comment = lines[line_number].partition("  # ")
        rule = parse_rule(comment) if hash_sign else None
        if rule:
            rules[key] = rule
    return rules


@functools.cache
def places_in_file(path: Path) -> dict[str, tuple[Path, int, str]]:
    """Where each value of a file stands: file, line from 1, and the value as written."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    return {
        key: (path, number + 1, lines[number].partition(":")[2].partition("  # ")[0].strip())
        for key, number in _leaves(yaml.compose(text))
    }


def leaf_keys(path: Path) -> list[str]:
    """The dotted names of all values that a configuration file sets."""
    return [key for key, _ in _leaves(yaml.compose(path.read_text(encoding="utf-8")))]


def _leaves(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value_node in node.value:
        key = f"{prefix}{key_node.value}"
        if not prefix and key in ("defaults", "hydra"):
            continue
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            yield from _leaves(value_node, f"{key}.")
        else:
            yield key, key_node.start_mark.line
