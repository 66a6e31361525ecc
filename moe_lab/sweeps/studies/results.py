"""What the runs of a study come to: a table a part, answers to its questions, one small file."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe_lab.comparison.measure import MEASURES
from moe_lab.comparison.recipe import Recipe
from moe_lab.comparison.runs import Group, Run, refuse_mixed_data
from moe_lab.comparison.statistics import estimate
from moe_lab.comparison.verdict import judge
from moe_lab.sweeps.studies.relations import relate
from moe_lab.sweeps.studies.running import Task
from moe_lab.sweeps.studies.study import Part, Study
from moe_lab.sweeps.studies.timing import forward_seconds

COSTS = ("params_total", "params_active", "flops_per_image", "train_seconds")
Done = Sequence[tuple[Task, Run]]


def digest(
    study: Study, done: Done, environment: dict[str, Any], changes: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything that the tables say, as plain values; `changes` are overrides of all runs that
    make the work another one than the study's.
    """
    parts = [digest_part(part, [(t, r) for t, r in done if t.part is part]) for part in study.parts]
    return {
        "study": study.name,
        "title": study.title,
        "work": study.work,
        "changes": list(changes),
        "environment": environment,
        "parts": [part for part in parts if part["rows"]],
    }


def digest_part(part: Part, done: Done) -> dict[str, Any]:
    """One part: a row a configuration, an answer a question."""
    refuse_mixed_data([run for _, run in done])
    groups: dict[str, Group] = {}
    for row in part.rows:
        own = sorted((run for task, run in done if task.row is row), key=lambda run: run.seed)
        if own:
            recipe = Recipe({}, exact=False)
            groups[row.name] = Group(row.name, own[0].summary["config_hash"], tuple(own), recipe)
    times = time_rows(groups)
    rows = []
    for row in part.rows:
        if row.name not in groups:
            continue
        group = groups[row.name]
        values = group.values("test_accuracy")
        found = estimate([100 * value for value in values.values()])
        interval = [found.interval.low, found.interval.high] if found.interval else None
        rows.append(
            {
                "name": row.name,
                "command": shlex.join(["python", "-m", "moe_lab.train", *part.typed(row)]),
                "published": row.published,
                "accuracies": {str(seed): 100 * value for seed, value in values.items()},
                "mean": found.mean,
                "sd": found.sd,
                "interval": interval,
                "forward_ms": 1000 * times[row.name],
                **{cost: group.mean(cost) for cost in COSTS},
                "columns": {key: group.mean(key) for key in part.columns},
            }
        )
    asked = [q for q in part.questions if q.first in groups and q.second in groups]
    pairs = [(groups[q.first], groups[q.second]) for q in asked]
    verdicts = judge(pairs, MEASURES["test_accuracy"])
    answers = [
        {
            "question": question.text,
            "answer": verdict.sentence,
            "difference": 100 * verdict.difference.mean,
            "interval": verdict.difference.interval
            and [
                100 * verdict.difference.interval.low,
                100 * verdict.difference.interval.high,
            ],
            "p_value": verdict.p_adjusted,
            "decided": verdict.winner is not None,
        }
        for question, verdict in zip(asked, verdicts, strict=True)
    ]
    return {
        "name": part.name,
        "title": part.title,
        "data": data_of(done),
        "rows": rows,
        "answers": answers,
        "relations": [relate(relation, list(groups.values())) for relation in part.relations],
    }


def time_rows(groups: dict[str, Group]) -> dict[str, float]:
    """Seconds of a forward pass of each row's first run."""
    from moe_lab.training.run_directory import RunDirectory

    if not groups:
        return {}
    paths = {name: Path(group.runs[0].path) for name, group in groups.items()}
    config = RunDirectory(next(iter(paths.values()))).read_config()
    return forward_seconds(paths, list(config["dataset"]["shape"]))


def data_of(done: Done) -> str:
    """Which copy of which data the runs saw."""
    if not done:
        return ""
    summary = done[0][1].summary
    return f"{summary['dataset']}: {summary['data_copy']} ({summary['data_fingerprint']})"
