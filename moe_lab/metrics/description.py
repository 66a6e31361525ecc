"""What an entry of the registry says about one quantity. Imports nothing, so that anything may read
it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Better = Literal["higher", "lower", "neither"]
SplitName = Literal["train", "val", "test", ""]
Place = Literal["epoch", "summary", "layer", "curves"]

OF_SPLIT = "SPLIT"  # group of what dashboards keep in a folder named for the split
# What may stand in a name between braces: one entry then describes a whole family of names.
FAMILIES = {"expert": "[0-9]+", "pass": "[0-9]+", "term": "[A-Za-z0-9_]+"}
# A layer's name stands before that of the metric. None may begin like a split or a weight, or
# `train_load_cv`, a loss term, would be the load_cv of a layer called "train".
LAYER = r"(?:(?!(?:train|val|test|weight)_)(?P<layer>.+?)_)?"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One quantity that runs record; its names are `[SPLIT_][LAYER_]name`.

    A metric in % is recorded as a share of 1. `{expert}`, `{pass}` or `{term}` in the name makes it
    a family.
    """

    name: str
    label: str
    meaning: str
    formula: str
    short: str = ""  # the label of a narrow column; empty: the label
    source: str = ""  # paper; empty: the formula is the definition
    unit: str = ""
    better: Better = "neither"
    form: str = ".3f"  # of the number in its unit
    group: str = OF_SPLIT  # first part of its name on dashboards, and their section
    panel: str = ""  # title of the chart that it is drawn in; empty: dashboards leave it out
    # "" alone: not of a split; beside others: the tested weights
    splits: tuple[SplitName, ...] = ("",)
    by_layer: bool = False
    kept: Literal["", "min", "max"] = ""  # what dashboards keep of a run beside the last value
    shown: tuple[Place, ...] = ()  # line of an epoch, final table, table of layers, first curves
    statistics: str = ""  # MODULE.CLASS in moe_lab.metrics that measures it in an evaluation

    def __post_init__(self) -> None:
        if self.better not in ("higher", "lower", "neither"):
            raise ValueError(f"better must be higher, lower or neither, got {self.better!r}")
        for text in (self.label, self.meaning, self.formula):
            if not text:
                raise ValueError(f"metric {self.name} needs a label, a meaning and a formula")

    @property
    def family(self) -> str:
        """`expert`, `pass` or `term`; empty for a metric that is one number."""
        found = re.search(r"\{(\w+)\}", self.name)
        return found[1] if found else ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What all of its recorded names match, with the groups split, layer and index."""
        splits = "|".join(f"{split}_" if split else "" for split in self.splits)
        name = re.escape(self.name)
        if self.family:
            name = name.replace(rf"\{{{self.family}\}}", f"(?P<index>{FAMILIES[self.family]})")
        return re.compile(f"(?P<split>{splits}){LAYER if self.by_layer else ''}{name}")

    @property
    def axis(self) -> str:
        """What the recorded values are in."""
        return "share" if self.unit == "%" else self.unit

    @property
    def heading(self) -> str:
        """The label of a narrow column whose cells leave the unit out."""
        name = self.short or self.label
        return name if self.names_unit else f"{name}, {self.unit}"

    @property
    def names_unit(self) -> bool:
        """Whether the label goes without a unit behind the value."""
        return not self.unit or self.unit in self.label

    def number(self, value: float) -> str:
        """The value in its unit, without it."""
        return f"{100 * value if self.unit == '%' else value:{self.form}}"

    def brief(self, value: float) -> str:
        """The value for a narrow column, where only percent keep their sign."""
        return f"{self.number(value)} %" if self.unit == "%" else self.number(value)

    def show(self, value: float) -> str:
        """The value with its unit, unless the label names that."""
        return self.number(value) if self.names_unit else f"{self.number(value)} {self.unit}"

    def score(self, value: float) -> float:
        """The value such that more is better."""
        return -value if self.better == "lower" else value
