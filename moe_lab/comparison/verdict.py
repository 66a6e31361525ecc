"""What a comparison of two groups comes to, in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moe_lab.comparison.found_runs import Group
from moe_lab.comparison.measure import Measure
from moe_lab.comparison.recipe import Draw
from moe_lab.comparison.statistics import (
    LEVEL,
    Difference,
    Interval,
    McNemar,
    holm,
    paired_difference,
    unpaired_difference,
)

EQUAL_COST = 1.05  # costs up to this ratio count as equal

MatchAnswers = Callable[[Group, Group], dict[Draw, McNemar]]  # by seed and split seed


@dataclass(frozen=True)
class Verdict:
    """One pair: first minus second, its p value after Holm, and what that comes to."""

    first: Group
    second: Group
    difference: Difference
    p_adjusted: float | None
    winner: Group | None
    mcnemar: dict[Draw, McNemar]
    sentence: str


def judge(
    pairs: Sequence[tuple[Group, Group]],
    measure: Measure,
    level: float = LEVEL,
    match_answers: MatchAnswers | None = None,
) -> list[Verdict]:
    """A verdict a pair; Holm's correction is over all of them, at family-wise level 1 - `level`."""
    differences = [difference(first, second, measure, level) for first, second in pairs]
    adjusted = holm([found.p_value for found in differences])
    tested = sum(p is not None for p in adjusted)
    verdicts = []
    for (first, second), found, p in zip(pairs, differences, adjusted, strict=True):
        winner = None
        if p is not None and p < 1 - level:
            winner = first if measure.score(found.mean) > 0 else second
        answers = match_answers(first, second) if match_answers is not None else {}
        sentence = Sentence(first, second, measure, found, p, tested, winner).text()
        sentence += answers_clause(answers, first, second, level)
        verdicts.append(Verdict(first, second, found, p, winner, answers, sentence))
    return verdicts


def difference(first: Group, second: Group, measure: Measure, level: float = LEVEL) -> Difference:
    """First minus second, paired where both have the same seeds and split seeds; else unpaired over
    all runs, so that it is the difference of the means in the table.
    """
    one, other = first.values(measure.key), second.values(measure.key)
    if one.keys() == other.keys():
        draws = sorted(one)
        return paired_difference([one[d] for d in draws], [other[d] for d in draws], level)
    return unpaired_difference(list(one.values()), list(other.values()), level)


@dataclass(frozen=True)
class Sentence:
    """The words of one verdict."""

    first: Group
    second: Group
    measure: Measure
    difference: Difference
    p_adjusted: float | None
    num_comparisons: int
    winner: Group | None

    def text(self) -> str:
        if self.difference.p_value is None:
            return self.untested()
        if self.winner is None:
            return self.undecided()
        return self.decided(self.winner)

    def untested(self) -> str:
        """There are too few seeds for a test."""
        means = [
            f"{group.label} {self.measure.show(group.mean(self.measure.key) or 0.0)}"
            for group in (self.first, self.second)
        ]
        cost = cost_clause(self.first, self.second)
        return (
            f"{self.difference.note}; {' against '.join(means)} in {self.measure.name}"
            f"{cost and ', the first ' + cost}"
        )

    def undecided(self) -> str:
        cost = cost_clause(self.first, self.second)
        if cost.startswith("with"):
            cost = f"(the first {cost})"
        pair = f"{self.first.label} and {self.second.label}"
        return " ".join(
            part for part in (f"no evidence of a difference between {pair}", cost) if part
        ) + (f": {self.size(self.difference.mean, self.difference.interval)} ({self.basis()})")

    def decided(self, winner: Group) -> str:
        loser = self.second if winner is self.first else self.first
        cost = cost_clause(winner, loser)
        mean, interval = abs(self.difference.mean), self.difference.interval
        if interval is not None and self.difference.mean < 0:
            interval = Interval(-interval.high, -interval.low, interval.method)
        words = [f"{winner.label} beats {loser.label}", cost, f"by {self.size(mean, interval)}"]
        return " ".join(word for word in words if word) + f" ({self.basis()})"

    def size(self, mean: float, interval: Interval | None) -> str:
        shown = self.measure.show_difference(mean)
        return f"{shown} {self.measure.show_interval(interval)}" if interval else f"{shown} exactly"

    def basis(self) -> str:
        """On how many seeds it rests, and the p value."""
        found = self.difference
        if found.paired:
            seeds = f"{found.n} paired seeds"
        else:
            sizes = [len(group.values(self.measure.key)) for group in (self.first, self.second)]
            seeds = f"{sizes[0]} and {sizes[1]} unpaired seeds, {found.test} test"
        assert self.p_adjusted is not None
        after = f" after Holm over {self.num_comparisons}" if self.num_comparisons > 1 else ""
        note = f"; {found.note}" if found.note else ""
        return f"{seeds}, {show_p(self.p_adjusted)}{after}{note}"


def cost_clause(first: Group, second: Group) -> str:
    """How the arithmetic an image of the first compares with that of the second."""
    one, other = first.mean("flops_per_image"), second.mean("flops_per_image")
    if not one or not other:
        return ""
    if max(one, other) / min(one, other) <= EQUAL_COST:
        return "at equal active FLOPs"
    return f"with {one / other:.3g} times the active FLOPs"


def answers_clause(
    answers: dict[Draw, McNemar], first: Group, second: Group, level: float = LEVEL
) -> str:
    """What McNemar's test says of the trained models of each seed."""
    if not answers:
        return ""
    alone = len(set(first.draws) ^ set(second.draws))
    rest = f" ({counted_runs(alone)} without a partner of the same seed left out)" if alone else ""
    if len(answers) == 1:
        ((draw, found),) = answers.items()
        return (
            f"; McNemar on the answers of seed {show_draw(draw)}: {found.only_first} images only "
            f"{first.label} gets right, {found.only_second} only {second.label}, "
            f"{show_p(found.p_value)}{rest}"
        )
    adjusted = holm([found.p_value for found in answers.values()])
    differing = sum(p is not None and p < 1 - level for p in adjusted)
    return f"; McNemar on the answers, after Holm: {differing} of {len(answers)} seeds differ{rest}"


def counted_runs(count: int) -> str:
    return f"{count} run{'s' if count > 1 else ''}"


def show_draw(draw: Draw) -> str:
    """The seed, and the split seed where that is another one than the usual 0."""
    seed, split_seed = draw
    return f"{seed} with split seed {split_seed}" if split_seed else str(seed)


def show_p(p: float) -> str:
    """p values as papers write them, with more digits where 0.05 is that near."""
    if p < 0.001:
        return "p < 0.001"
    decimals = 2 if p >= 0.1 else 4 if abs(p - 0.05) < 0.001 else 3
    return f"p = {p:.{decimals}f}"
