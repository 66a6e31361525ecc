"""What a study is: a question, rows that are trained on the same work, contrasts that answer it.

The fields are the keys of a file in conf/study/; those without a default have to be there.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from moe_lab.errors import ConfigError

DERIVED = {"derived": True}  # metadata of fields that are no keys of the file


@dataclass(frozen=True)
class StudyRow:
    """One configuration: a line of a part's table.

    With `matches` it is the dense network that costs what another row's mixture costs, by `budget`:
    active_flops, active_parameters or total_parameters.
    """

    label: str
    overrides: str = ""  # of the training command, beside those of the part
    matches: str = ""
    budget: str = ""
    published: float | None = None  # accuracy in % that somebody else reports for it
    line: int = field(default=0, compare=False, metadata=DERIVED)


@dataclass(frozen=True)
class Contrast:
    """Two rows of a part whose paired difference, first minus second, answers a question."""

    question: str
    first: str
    second: str
    line: int = field(default=0, compare=False, metadata=DERIVED)


@dataclass(frozen=True)
class Relation:
    """Two numbers of a run's summary: do rows with more of the first have more of the second?"""

    question: str
    first: str
    second: str


@dataclass(frozen=True)
class StudyPart:
    """Rows on the same work, which alone are compared with each other."""

    name: str
    title: str
    overrides: str  # of every row
    rows: tuple[StudyRow, ...]
    contrasts: tuple[Contrast, ...] = ()  # the first one is what the page leads with
    relations: tuple[Relation, ...] = ()
    columns: tuple[str, ...] = ()  # further numbers of a run's summary that the table shows
    published_from: str = ""  # where the published values of the rows come from
    line: int = field(default=0, compare=False, metadata=DERIVED)

    def words(self, row: StudyRow) -> list[str]:
        """All overrides of the training command that make a row of this part."""
        if not row.matches:
            return [*shlex.split(self.overrides), *shlex.split(row.overrides)]
        (mixture,) = (other for other in self.rows if other.label == row.matches)
        return list(baseline_words(tuple(self.words(mixture)), row.budget))


@functools.cache
def baseline_words(mixture: tuple[str, ...], budget: str) -> tuple[str, ...]:
    """The overrides of the matched dense baseline of a mixture; takes a second or two."""
    from moe_lab.comparison.dense_baseline import match_dense  # imports torch

    return tuple(match_dense(mixture, budget).overrides)


@dataclass(frozen=True)
class Quick:
    """What quick=true makes of a study: an answer to whether all of it runs."""

    seeds: int
    overrides: str


@dataclass(frozen=True)
class Study:
    """A question, the parts that answer it, and how many seeds that takes."""

    title: str
    question: str
    measured: str  # what every run does, for the reader of the tables
    seeds: int
    quick: Quick
    parts: tuple[StudyPart, ...]
    notes: str = ""  # what a reader of the results should know beside
    split: str = "by_seed"  # whether each seed draws its own training images, or "fixed"
    name: str = field(default="", metadata=DERIVED)

    def only(self, names: Sequence[str]) -> Study:
        """The same study with some of its parts; ConfigError for a part it does not have."""
        known = [part.name for part in self.parts]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ConfigError(
                f"parts={','.join(names)}: {self.name} has no part {', '.join(unknown)}",
                f"parts of this study: {', '.join(known)}",
                f"type some of them, for example parts=[{known[0]}]",
            )
        return replace(self, parts=tuple(part for part in self.parts if part.name in names))
