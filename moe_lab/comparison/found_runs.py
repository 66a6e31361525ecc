"""Finds run directories and puts the runs of one configuration together over their seeds."""

from __future__ import annotations

import glob
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_lab.comparison.recipe import ABSENT_KEY, Recipe, find_recipe, hydra_value, value_at
from moe_lab.config.renamed import has_former_names
from moe_lab.errors import ConfigError
from moe_lab.training.run_directory import RunDirectory, config_hash

RECORDS = ("environment.json", "summary.json")  # either shows that a run was started here


@dataclass(frozen=True)
class Run:
    """One finished run."""

    path: Path
    summary: Mapping[str, Any]

    @property
    def seed(self) -> int:
        return int(self.summary["seed"])


@dataclass(frozen=True)
class LeftOut:
    """A run directory that takes no part, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Group:
    """The runs of one configuration, one a seed, under a name that tells it from the others."""

    label: str
    config_hash: str
    runs: tuple[Run, ...]  # by seed
    recipe: Recipe

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    @property
    def command(self) -> str:
        """The line that trains all of these runs again."""
        return self.recipe.command(self.seeds)

    def values(self, key: str) -> dict[int, float]:
        """What the runs measured, by seed; without those that did not."""
        found = {run.seed: run.summary.get(key) for run in self.runs}
        return {seed: float(value) for seed, value in found.items() if value is not None}

    def mean(self, key: str) -> float | None:
        """The mean over seeds, None where nothing was measured."""
        values = list(self.values(key).values())
        return sum(values) / len(values) if values else None


def find_runs(patterns: Sequence[str | Path]) -> tuple[list[Run], list[LeftOut]]:
    """The finished runs in folders, at any depth, and what was left out.

    Each pattern is a run directory, a folder of them, or a glob of either. ConfigError where one
    leads to nothing.
    """
    folders: dict[Path, Path] = {}
    for pattern in patterns:
        found = [folder for start in expand(str(pattern)) for folder in run_folders(start)]
        if not found:
            raise ConfigError(
                f"there is no run in {pattern}",
                "run directories, folders that hold some, or a pattern such as 'outputs/sweep/*'",
                "see `ls outputs`, or the line `run directory` that training prints at its end",
            )
        folders |= {folder.resolve(): folder for folder in found}
    runs, left_out = [], []
    for folder in folders.values():
        read = read_run(folder)
        if isinstance(read, Run):
            runs.append(read)
        else:
            left_out.append(read)
    return runs, left_out


def expand(pattern: str) -> list[Path]:
    """The paths that a pattern stands for."""
    if Path(pattern).exists():  # a name may hold brackets
        return [Path(pattern)]
    return sorted(map(Path, glob.glob(pattern, recursive=True)))


def run_folders(start: Path) -> list[Path]:
    """`start` where it is a run directory, else those below it; not what a run holds itself."""
    if is_run(start):
        return [start]
    records = (path for name in RECORDS for path in start.rglob(name))
    folders: list[Path] = []
    for folder in sorted({path.parent for path in records}):
        inside = folder.relative_to(start).parts
        if not any(part.startswith(".") for part in inside) and not set(folder.parents) & set(
            folders
        ):
            folders.append(folder)
    return folders


def is_run(folder: Path) -> bool:
    """Whether training has written its record here, or the record of its failure."""
    return any((folder / name).is_file() for name in RECORDS)


def read_run(folder: Path) -> Run | LeftOut:
    """A run with its summary, or the reason why it takes no part."""
    directory = RunDirectory(folder)
    if not directory.summary.is_file():
        return LeftOut(folder, "not finished: there is no summary.json")
    try:
        summary = directory.read_summary()
    except json.JSONDecodeError:
        return LeftOut(folder, "summary.json cannot be read")
    status = summary.get("status")
    if status != "done":
        lines = str(summary.get("error", "")).strip().splitlines()
        return LeftOut(folder, f"{status}: {' '.join(lines[0].split())}" if lines else str(status))
    if "test_accuracy" not in summary and "val_accuracy" in summary:
        return LeftOut(folder, "a trial of a search: it was not tested")
    if not directory.config.is_file() or "config_hash" not in summary:
        return LeftOut(folder, "its record is not complete")
    if has_former_names(directory.config.read_text(encoding="utf-8")):
        # The hash is over the names of classes too: runs of both versions are one configuration.
        summary["config_hash"] = config_hash(directory.read_config())
    return Run(folder, summary)


def refuse_mixed_data(runs: Sequence[Run]) -> None:
    """ConfigError where runs saw different images: their accuracies cannot be compared."""
    seen: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        seen[str(run.summary.get("data_fingerprint"))].append(run)
    if len(seen) > 1:
        named = [
            f"{fingerprint} ({found[0].summary.get('dataset')}{tested(found[0])}: {len(found)} "
            f"run{'s' if len(found) > 1 else ''}, such as {found[0].path})"
            for fingerprint, found in seen.items()
        ]
        raise ConfigError(
            "the runs saw different data, by fingerprint: " + "; ".join(named),
            "runs on the same images, labels and split",
            "compare the runs of one fingerprint at a time",
        )


def tested(run: Run) -> str:
    """What a run was tested on, where that is not the whole test set."""
    subset = run.summary.get("test_subset")
    return "" if subset is None else f", tested on {subset:,} images only"


def group_runs(runs: Sequence[Run]) -> tuple[list[Group], list[LeftOut]]:
    """One group a configuration, in the order of the runs; of two runs with the same seed the
    newer one counts.
    """
    refuse_mixed_data(runs)
    by_hash: dict[str, dict[int, Run]] = defaultdict(dict)
    left_out = []
    for run in sorted(runs, key=lambda run: RunDirectory(run.path).summary.stat().st_mtime):
        same = by_hash[str(run.summary["config_hash"])]
        if run.seed in same:
            reason = f"the same configuration and seed as {run.path}, which is newer"
            left_out.append(LeftOut(same[run.seed].path, reason))
        same[run.seed] = run
    order = list(dict.fromkeys(str(run.summary["config_hash"]) for run in runs))
    members = [tuple(by_hash[key][seed] for seed in sorted(by_hash[key])) for key in order]
    records = [RunDirectory(group[0].path) for group in members]
    configs = [record.read_config() for record in records]
    recipes = [
        find_recipe(config, group[0].summary.get("choices", {}), typed_words(record))
        for config, group, record in zip(configs, members, records, strict=True)
    ]
    choices = [dict(group[0].summary.get("choices", {})) for group in members]
    labels = tell_apart(recipes, choices, configs, order)
    groups = [Group(*parts) for parts in zip(labels, order, members, recipes, strict=True)]
    return groups, left_out


def typed_words(record: RunDirectory) -> list[str]:
    """The command line that a run was started with, empty where it is not known."""
    known = record.environment.is_file()
    return [str(word) for word in record.read_environment().get("command", [])] if known else []


def tell_apart(
    recipes: Sequence[Recipe],
    choices: Sequence[Mapping[str, Any]],
    configs: Sequence[Mapping[str, Any]],
    hashes: Sequence[str],
) -> list[str]:
    """A label for each configuration out of what differs between them."""
    keys = list(dict.fromkeys(key for recipe in recipes for key in recipe.overrides))
    keys.sort(key=lambda key: (key != "model", "." in key))

    def value(place: int, key: str) -> Any:
        if key in choices[place]:
            return choices[place][key]
        return recipes[place].overrides.get(key, value_at(configs[place], key))

    differing = [
        key
        for key in keys
        if any(value(place, key) != value(0, key) for place in range(1, len(recipes)))
    ]
    if len(recipes) == 1:
        differing = list(dict.fromkeys(["model", *keys]))
    labels = []
    for place, own_hash in enumerate(hashes):
        values = {key: value(place, key) for key in differing}
        words = [
            f"{key}={hydra_value(found)}"
            for key, found in values.items()
            if found is not ABSENT_KEY and not isinstance(found, Mapping)
        ]
        labels.append(" ".join(words) or own_hash)
    return [
        label if labels.count(label) == 1 else f"{label} ({own_hash})"
        for label, own_hash in zip(labels, hashes, strict=True)
    ]
