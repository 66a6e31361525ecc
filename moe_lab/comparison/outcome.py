"""Compares runs: groups, estimates, verdicts and Pareto fronts in one object."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moe_lab.analysis.pareto import COSTS, pareto_front
from moe_lab.comparison.found_runs import Group, LeftOut, find_runs, tested
from moe_lab.comparison.grouping import group_runs
from moe_lab.comparison.measure import Measure, read_measure
from moe_lab.comparison.statistics import LEVEL, Estimate, estimate
from moe_lab.comparison.verdict import MatchAnswers, Verdict, judge
from moe_lab.errors import ConfigError
from moe_lab.training.run_directory import RunDirectory


@dataclass(frozen=True)
class Row:
    """One group: its estimate, its mean costs, and the costs in which it is on the Pareto front."""

    group: Group
    estimate: Estimate
    costs: Mapping[str, float | None]
    fronts: Mapping[str, bool | None]


@dataclass(frozen=True)
class Comparison:
    """All that a comparison of runs found; the rows are in order of merit."""

    measure: Measure
    level: float
    data: str
    rows: list[Row]
    verdicts: list[Verdict]
    left_out: list[LeftOut]
    notes: list[str]


def compare_runs(
    patterns: Sequence[str | Path],
    by: str = "test_accuracy",
    baseline: str | None = None,
    level: float = LEVEL,
    match_answers: MatchAnswers | None = None,
) -> Comparison:
    """Compare every pair of configurations under `patterns`, or each with the baseline.

    ConfigError where no run is finished, the data differ, or the baseline is not there.
    """
    measure = read_measure(by)
    runs, left_out = find_runs(patterns)
    if not runs:
        reasons = "; ".join(f"{found.path}: {found.reason}" for found in left_out[:5])
        raise ConfigError(f"none of the runs is finished: {reasons}", "at least one finished run")
    measured = [run for run in runs if run.summary.get(by) is not None]
    left_out += [LeftOut(r.path, f"there is no {by} in it") for r in runs if r not in measured]
    if not measured:
        raise ConfigError(f"no run has a {by}", "another measure, see conf/compare.yaml")
    groups, repeated = group_runs(measured)
    verdicts = judge(choose_pairs(groups, baseline), measure, level, match_answers)
    return Comparison(
        measure, level,
        f"{measured[0].summary.get('dataset')}{tested(measured[0])} "
        f"({measured[0].summary.get('data_fingerprint')})",
        make_rows(groups, measure, level), verdicts, left_out + repeated, make_notes(groups, level),
    )  # fmt: skip


def choose_pairs(groups: Sequence[Group], baseline: str | None) -> list[tuple[Group, Group]]:
    """Every pair, or every other group with the baseline."""
    if baseline is None:
        return list(itertools.combinations(groups, 2))
    against = find_group(groups, baseline)
    return [(group, against) for group in groups if group is not against]


def find_group(groups: Sequence[Group], name: str) -> Group:
    """The group of this label or configuration hash, or the only one whose label contains it."""
    exact = [group for group in groups if name in (group.label, *hashes_of(group))]
    found = exact or [group for group in groups if name in group.label]
    if len(found) != 1:
        many = "fits several groups" if found else "is none of the groups"
        raise ConfigError(
            f"baseline={name} {many}",
            "one of: " + " | ".join(group.label for group in groups),
            "name a group by its label, a part that only one has, or its configuration hash",
        )
    return found[0]


def hashes_of(group: Group) -> set[str]:
    """Of its runs, which may differ in the split seed."""
    return {group.config_hash, *(str(run.summary.get("config_hash")) for run in group.runs)}


def make_rows(groups: Sequence[Group], measure: Measure, level: float) -> list[Row]:
    """A row a group, the best first."""
    estimates = [estimate(list(group.values(measure.key).values()), level) for group in groups]
    scores = [measure.score(found.mean) for found in estimates]
    costs = [{key: group.mean(key) for key in COSTS} for group in groups]
    fronts = {key: pareto_front([cost[key] for cost in costs], scores) for key in COSTS}
    rows = [
        Row(group, found, cost, {key: fronts[key][place] for key in COSTS})
        for place, (group, found, cost) in enumerate(zip(groups, estimates, costs, strict=True))
    ]
    return sorted(rows, key=lambda row: -measure.score(row.estimate.mean))


def make_notes(groups: Sequence[Group], level: float) -> list[str]:
    """How the numbers were made, and what makes them less comparable than they look."""
    notes = [
        f"Intervals hold the mean with {100 * level:g} % confidence: Student's t over the seeds.",
        "Groups with the same seeds are tested by the paired t test, others by Welch's over all of "
        "their runs; p values are corrected by Holm. The exact sign-flip and Wilcoxon tests stand "
        "beside the paired one; with five seeds neither can fall below 0.0625.",
    ]
    if len({split_seed for group in groups for _, split_seed in group.draws}) == 1:
        notes.append(
            "All runs share one draw of training images and validation split, whose variance the "
            "intervals leave out; 'dataset.split_seed=${seed}' in a sweep over seeds varies it."
        )
    processors = {processor(run.path) for group in groups for run in group.runs}
    if len(processors) > 1:
        named = ", ".join(sorted(processors))
        notes.append(f"Training seconds were measured on different hardware: {named}.")
    inexact = [group.label for group in groups if not group.recipe.exact]
    if inexact:
        notes.append(
            "Made by another version of moe_lab, in which the command now gives another "
            "configuration hash: " + "; ".join(inexact)
        )
    return notes


def processor(run: Path) -> str:
    """What a run was trained on, as far as it is recorded."""
    record = RunDirectory(run)
    hardware = record.read_environment().get("hardware", {}) if record.environment.is_file() else {}
    return ", ".join(hardware.get("gpus", [])) or str(hardware.get("processor", "unknown"))
