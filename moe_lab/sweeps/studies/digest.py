"""What the runs of a study come to, as plain values: a table for each part, answers, conditions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe_lab.analysis.pareto import COSTS
from moe_lab.comparison.found_runs import Group, Run, refuse_mixed_data
from moe_lab.comparison.measure import Measure
from moe_lab.comparison.recipe import Recipe
from moe_lab.comparison.statistics import LEVEL, estimate, holm
from moe_lab.comparison.verdict import judge
from moe_lab.sweeps.studies.definition import Contrast, Study, StudyPart, StudyRow
from moe_lab.sweeps.studies.forward_time import TOLERANCE, ForwardTimes, forward_times
from moe_lab.sweeps.studies.rank_correlation import relate
from moe_lab.sweeps.studies.work_list import Done, StudyRun
from moe_lab.training.run_directory import RunDirectory

# Words that say where a run is made, and not what it comes to.
PLACE_WORDS = ("dataset.root=", "callbacks=", "trainer.accelerator=", "trainer=cpu", "trainer=gpu")


def digest(
    study: Study, done: Done, environment: dict[str, Any], command: str, changes: Sequence[str]
) -> dict[str, Any]:
    """Everything that the page says; `changes` are words for all runs that make the work another
    one than the study's. ConfigError where the runs of a part saw different data.
    """
    parts = [digest_part(part, [(s, r) for s, r in done if s.part is part]) for part in study.parts]
    across_page = judge_across_page([answer for part in parts for answer in part["answers"]])
    own_splits = all(run.draw == (run.seed, run.seed) for _, run in done)
    return {
        "study": study.name,
        "title": study.title,
        "question": study.question,
        "measured": study.measured,
        "notes": study.notes,
        "split": "by_seed" if own_splits else "fixed",
        "across_page": across_page,
        "command": command,
        "changes": [word for word in changes if not word.startswith(PLACE_WORDS)],
        "environment": environment,
        "parts": [part for part in parts if part["rows"]],
    }


def digest_part(part: StudyPart, done: Done) -> dict[str, Any]:
    """One part: its rows, what its contrasts and relations come to, and what the runs saw."""
    refuse_mixed_data([run for _, run in done])
    groups: dict[str, Group] = {}
    for row in part.rows:
        own = sorted((run for task, run in done if task.row is row), key=lambda run: run.seed)
        if own:
            recipe = Recipe({}, exact=False)
            groups[row.label] = Group(row.label, own[0].summary["config_hash"], tuple(own), recipe)
    times = time_rows(groups)
    measured = None if times is None else {
        "quiet": times.quiet, "disagreement": times.disagreement, "tolerance": TOLERANCE,
    }  # fmt: skip
    return {
        "name": part.name,
        "title": part.title,
        "published_from": part.published_from,
        **conditions(done),
        "forward_times": measured,
        "rows": [
            {
                **digest_row(part, row, groups[row.label]),
                "forward_ms": milliseconds(times, row.label),
                "runs": [digest_run(task, run) for task, run in done if task.row is row],
            }
            for row in part.rows
            if row.label in groups
        ],
        "answers": answers(part.contrasts, groups),
        "relations": [relate(relation, list(groups.values())) for relation in part.relations],
    }


def digest_row(part: StudyPart, row: StudyRow, group: Group) -> dict[str, Any]:
    """One line of a table: means over seeds."""
    by_draw = group.values("test_accuracy")
    accuracies = {seed: 100 * value for (seed, _), value in by_draw.items()}
    found = estimate(list(accuracies.values()))
    return {
        "label": row.label,
        "command": shlex.join(["python", "-m", "moe_lab.train", *part.words(row)]),
        "published": row.published,
        "accuracies": {str(seed): value for seed, value in accuracies.items()},
        "mean": found.mean,
        "sd": found.sd,
        "interval": [found.interval.low, found.interval.high] if found.interval else None,
        **{cost: group.mean(cost) for cost in COSTS},
        "columns": {key: group.mean(key) for key in part.columns},
    }


def digest_run(task: StudyRun, run: Run) -> dict[str, Any]:
    """One run: the line that repeats it, the commit that made it, every number it ended with."""
    words = [
        "dataset.root=FOLDER" if word.startswith("dataset.root=") else word for word in task.words
    ]
    numbers = {key: value for key, value in run.summary.items() if isinstance(value, int | float)}
    return {
        "command": shlex.join(["python", "-m", "moe_lab.train", *words]),
        "git": RunDirectory(run.path).read_environment().get("git"),
        **numbers,
    }


def conditions(done: Done) -> dict[str, Any]:
    """The copy of the data that the runs saw, and how much of it for how long."""
    if not done:
        return {"data": "", "budget": {}}
    run = done[0][1]
    summary, sizes = run.summary, RunDirectory(run.path).read_environment()["data"]["sizes"]
    # Of all that split seeds draw from, and not of the draw of one seed.
    fingerprint = summary.get("pool_fingerprint", summary["data_fingerprint"])
    epochs = sorted({int(other.summary["epochs"]) for _, other in done})
    return {
        "data": f"{summary['dataset']}: {summary['data_copy']} ({fingerprint})",
        "budget": {"images": sizes, "epochs": epochs},
    }


def answers(contrasts: Sequence[Contrast], groups: dict[str, Group]) -> list[dict[str, Any]]:
    """A verdict for each contrast whose rows have runs; p values are corrected over all of them."""
    asked = [c for c in contrasts if c.first in groups and c.second in groups]
    verdicts = judge([(groups[c.first], groups[c.second]) for c in asked], Measure("test_accuracy"))
    found = []
    for contrast, verdict in zip(asked, verdicts, strict=True):
        interval = verdict.difference.interval
        found.append(
            {
                "question": contrast.question,
                "answer": verdict.sentence,
                "difference": 100 * verdict.difference.mean,
                "interval": interval and [100 * interval.low, 100 * interval.high],
                "test": verdict.difference.test,
                "p_uncorrected": verdict.difference.p_value,
                "p_value": verdict.p_adjusted,
                "decided": verdict.winner is not None,
            }
        )
    return found


def judge_across_page(answers: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Correct the p values of all parts together, write what comes to each answer into it, and
    count: contrasts that were tested, decided within their part, decided across the page.
    """
    corrected = holm([answer["p_uncorrected"] for answer in answers])
    for answer, p in zip(answers, corrected, strict=True):
        answer["p_across_page"] = p
        answer["decided_across_page"] = p is not None and p < 1 - LEVEL
    return {
        "tested": sum(p is not None for p in corrected),
        "decided_in_parts": sum(answer["decided"] for answer in answers),
        "decided": sum(answer["decided_across_page"] for answer in answers),
    }


def time_rows(groups: dict[str, Group]) -> ForwardTimes | None:
    """How long a forward pass of each row's first run takes."""
    if not groups:
        return None
    paths = {label: Path(group.runs[0].path) for label, group in groups.items()}
    config = RunDirectory(next(iter(paths.values()))).read_config()
    return forward_times(paths, config["dataset"]["shape"])


def milliseconds(times: ForwardTimes | None, label: str) -> dict[str, dict[str, float]] | None:
    """Images in a pass -> minimum and median; None where the machine was too busy to tell."""
    if times is None or not times.quiet:
        return None
    return {
        str(batch_size): {"minimum": 1000 * taken.minimum, "median": 1000 * taken.median}
        for batch_size, taken in times.rows[label].items()
    }
