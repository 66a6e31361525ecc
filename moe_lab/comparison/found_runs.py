"""Finds run directories, and says which of their runs can be compared."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_lab.comparison.recipe import ABSENT_KEY, SPLIT_SEED, Draw, Recipe, value_at
from moe_lab.config.renamed import has_former_names
from moe_lab.errors import ConfigError, RecordError
from moe_lab.training.recorded_files import understanding
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

    @property
    def draw(self) -> Draw:
        """Its seed, and that of the images it was trained on."""
        return self.seed, int(self.summary.get("split_seed", 0))


@dataclass(frozen=True)
class LeftOut:
    """A run directory that takes no part, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Group:
    """The runs of one configuration, which differ in seed and split seed alone, under a name that
    tells it from the others.
    """

    label: str
    config_hash: str  # of the first run
    runs: tuple[Run, ...]  # by seed, then by split seed
    recipe: Recipe

    @property
    def draws(self) -> list[Draw]:
        return [run.draw for run in self.runs]

    @property
    def command(self) -> str:
        """The line that trains all of these runs again."""
        return self.recipe.command(self.draws)

    def values(self, key: str) -> dict[Draw, float]:
        """What the runs measured, by seed and split seed; without those that did not."""
        found = {run.draw: run.summary.get(key) for run in self.runs}
        return {draw: float(v) for draw, v in found.items() if isinstance(v, int | float)}

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
    if os.path.exists(pattern):  # a name may hold brackets, or be too long for Path.exists
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
        return as_run(directory)
    except (RecordError, ConfigError) as error:
        return LeftOut(folder, error.wrong.replace(f"{folder}/", ""))


def as_run(directory: RunDirectory) -> Run | LeftOut:
    """The same; RecordError where a file that a comparison reads is damaged."""
    folder, summary = directory.path, directory.read_summary()
    status = summary.get("status")
    if status != "done":
        lines = str(summary.get("error", "")).strip().splitlines()
        return LeftOut(folder, f"{status}: {' '.join(lines[0].split())}" if lines else str(status))
    if "test_accuracy" not in summary and "val_accuracy" in summary:
        return LeftOut(folder, "a trial of a search: it was not tested")
    if not directory.config.is_file() or "config_hash" not in summary:
        return LeftOut(folder, "its record is not complete")
    config = directory.read_config()
    if directory.environment.is_file():
        directory.read_environment()  # which is read again where groups are made
    if "split_seed" not in summary:  # earlier versions did not record it here
        split_seed = value_at(config, SPLIT_SEED)
        summary["split_seed"] = 0 if split_seed is ABSENT_KEY else split_seed
    if has_former_names(directory.config.read_text(encoding="utf-8")):
        # The hash is over the names of classes too: runs of both versions are one configuration.
        summary["config_hash"] = config_hash(config)
    with understanding(directory.summary):
        run = Run(folder, {**summary, "choices": dict(summary.get("choices", {}))})
        _ = run.draw, float(summary.get("test_accuracy") or 0.0)
    return run


def refuse_mixed_data(runs: Sequence[Run]) -> None:
    """ConfigError where runs saw different images: their accuracies cannot be compared.

    What different split seeds draw from the same images can: they are draws of one experiment.
    """
    pools = {
        run.summary.get("data_fingerprint"): run.summary["pool_fingerprint"]
        for run in runs
        if "pool_fingerprint" in run.summary
    }
    seen: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        drawn = run.summary.get("data_fingerprint")
        seen[str(pools.get(drawn, drawn))].append(run)
    if len(seen) > 1:
        named = [
            f"{fingerprint} ({found[0].summary.get('dataset')}{tested(found[0])}: {len(found)} "
            f"run{'s' if len(found) > 1 else ''}, such as {found[0].path})"
            for fingerprint, found in seen.items()
        ]
        raise ConfigError(
            "the runs saw different data, by fingerprint: " + "; ".join(named),
            "runs on the same images and labels, split by the same rule",
            "compare the runs of one fingerprint at a time",
        )


def tested(run: Run) -> str:
    """What a run was tested on, where that is not the whole test set."""
    subset = run.summary.get("test_subset")
    return "" if subset is None else f", tested on {subset:,} images only"
