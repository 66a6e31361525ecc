"""What a study is: rows to train, and the questions that their comparison answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Row:
    """One configuration: what is typed for it beside what its part shares.

    With `twin_of`, the dense network that costs what another row costs, by `budget`.
    """

    name: str
    overrides: str = ""
    published: float | None = None  # accuracy in % that somebody else reports for it
    twin_of: str = ""
    budget: str = "active_flops"  # or active_parameters, total_parameters


@dataclass(frozen=True)
class Question:
    """Two rows of a part whose paired difference, first minus second, answers a question."""

    text: str
    first: str
    second: str


@dataclass(frozen=True)
class Relation:
    """Two numbers of a run: do rows that have more of the first have more of the second?"""

    text: str
    first: str
    second: str = "test_accuracy"


@dataclass(frozen=True)
class Part:
    """Rows on the same work, which alone are compared with each other."""

    name: str
    title: str
    shared: str  # overrides of every row
    rows: Sequence[Row]
    questions: Sequence[Question] = ()
    columns: Sequence[str] = ()  # further numbers of a run's summary that its table shows
    relations: Sequence[Relation] = ()

    def typed(self, row: Row) -> list[str]:
        """All that is typed for a row of this part."""
        if not row.twin_of:
            return [*self.shared.split(), *row.overrides.split()]
        from moe_lab.comparison.matching import dense_twin  # imports torch

        (mixture,) = (other for other in self.rows if other.name == row.twin_of)
        return dense_twin(self.typed(mixture), row.budget).overrides

    def check(self) -> None:
        """ValueError where two rows share a name or a question names none."""
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError(f"two rows of part {self.name!r} have the same name")
        for row in self.rows:
            if row.twin_of and (row.twin_of not in names or row.overrides):
                raise ValueError(f"{row.name!r} is to be the twin of {row.twin_of!r}: another row, "
                                 "which alone says what it is")  # fmt: skip
        for question in self.questions:
            for name in (question.first, question.second):
                if name not in names:
                    raise ValueError(f"{question.text!r} asks for row {name!r}, which is not there")


@dataclass(frozen=True)
class Study:
    """A question, the parts that answer it, and how many seeds that takes."""

    name: str
    title: str
    work: str  # what every run does, in a sentence for the reader of the table
    parts: Sequence[Part]
    seeds: int = 5
    quick: str = "dataset.subset=2000 trainer.max_epochs=1"  # overrides of --quick
    quick_seeds: int = 2

    def __post_init__(self) -> None:
        for part in self.parts:
            part.check()

    def only(self, names: Sequence[str]) -> Study:
        """The same study with some of its parts; ValueError for a part it does not have."""
        known = [part.name for part in self.parts]
        for name in names:
            if name not in known:
                raise ValueError(f"{self.name} has parts {', '.join(known)}; got {name!r}")
        return replace(self, parts=tuple(part for part in self.parts if part.name in names))
