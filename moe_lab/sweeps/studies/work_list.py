"""The runs that a study asks for, and whether their command lines are right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moe_lab.comparison.found_runs import Run, read_run
from moe_lab.comparison.recipe import SPLIT_SEED
from moe_lab.config.check import CommandLineError, check_line
from moe_lab.config.compose import Composition
from moe_lab.config.launch import quoted
from moe_lab.config.tree import Mistake
from moe_lab.errors import ConfigError, UserError
from moe_lab.sweeps.studies.definition import Study, StudyPart, StudyRow
from moe_lab.sweeps.studies.study_file import slug
from moe_lab.training.recorded_files import reading

LINE = "overrides.json"  # what a run was asked for: it is repeated if that has changed
# A page and a progress bar for each of a hundred runs help nobody; typed words come later and win.
QUIET = ("callbacks.progress.style=none", "report=false")
# Keys of the training command that a study sets itself, and what to type instead.
OWN = {
    "seed": "seeds=3 trains every row with the seeds 0, 1 and 2",
    "run_dir": "out=FOLDER says where all runs are kept",
    "resume": "the same line always goes on with what is missing",
}


@dataclass(frozen=True)
class StudyRun:
    """One training run of a study."""

    part: StudyPart
    row: StudyRow
    seed: int
    folder: Path
    words: tuple[str, ...]  # of the training command, without those about folders and screen

    @property
    def line(self) -> list[str]:
        """All words of the training command."""
        *asked, seed = self.words
        return [*QUIET, *asked, seed, f"run_dir={quoted(str(self.folder / 'run'))}"]

    @property
    def is_recorded(self) -> bool:
        """Whether what lies in the folder was asked for in the same words."""
        record = self.folder / LINE
        if not record.is_file():
            return False
        with reading(record):
            return bool(json.loads(record.read_text()) == list(self.words))

    @property
    def finished(self) -> Run | None:
        """The run, if it is done and was asked for in the same words."""
        found = read_run(self.folder / "run") if self.is_recorded else None
        return found if isinstance(found, Run) else None


Done = Sequence[tuple[StudyRun, Run]]


def work_list(
    study: Study, out: Path, seeds: Sequence[int], shared: Sequence[str]
) -> list[StudyRun]:
    """Every run, seed by seed, so that a study which is stopped has all rows for some seeds.

    `shared` are words for all of them. ConfigError where a matched dense baseline cannot be sized.
    """
    lines = [(part, row, part.words(row)) for part in study.parts for row in part.rows]
    return [
        StudyRun(
            part,
            row,
            seed,
            out / part.name / slug(row.label) / f"seed{seed}",
            (*words, *shared, *split_words(study, (*words, *shared), seed), f"seed={seed}"),
        )
        for seed in seeds
        for part, row, words in lines
    ]


def split_words(study: Study, words: Sequence[str], seed: int) -> list[str]:
    """The word by which a seed draws training images and validation split of its own, the same for
    all rows; nothing where the study fixes the split or a word does.
    """
    typed = any(word.lstrip("+").startswith(f"{SPLIT_SEED}=") for word in words)
    return [] if typed or study.split == "fixed" else [f"{SPLIT_SEED}={seed}"]


def labelled_lines(
    study: Study, shared: Sequence[str], matched: bool
) -> list[tuple[str, list[str]]]:
    """The training line of each row without folder and seed; of those rows that are matched dense
    baselines, which takes torch, or of the others.

    Seeds count from 0, and so are right in every line.
    """
    rows = [(p, r) for p in study.parts for r in p.rows if bool(r.matches) is matched]
    lines = [(f"{p.name}: {r.label}", [*p.words(r), *shared]) for p, r in rows]
    for _, words in lines:
        refuse_own_keys(words)
    return [(label, [*QUIET, *words]) for label, words in lines]


def check_lines(lines: Sequence[tuple[str, Sequence[str]]]) -> list[Composition]:
    """Compose the training command for each labelled line; ConfigError with all their mistakes."""
    found: dict[Mistake, list[str]] = {}
    compositions = []
    for label, words in lines:
        try:
            compositions += check_line("train", words)
        except CommandLineError as error:
            for mistake in error.mistakes:
                found.setdefault(mistake, []).append(label)
        except UserError as error:
            found.setdefault(Mistake(" ".join(words), error.wrong), []).append(label)
    if found:
        raise WrongLines(found, len(lines))
    return compositions


class WrongLines(ConfigError):
    """Mistakes in the command lines of a study, each with the rows that it is found in."""

    def __init__(self, found: dict[Mistake, list[str]], num_rows: int) -> None:
        self.found, self.num_rows = found, num_rows
        super().__init__("\n".join(str(mistake) for mistake in found))

    def lines(self) -> list[str]:
        count = len(self.found)
        shown = [f"  {count} mistake{'s' if count > 1 else ''} in the runs; nothing was run", ""]
        for mistake, labels in self.found.items():
            where = f"in row '{labels[0]}'"
            if len(labels) > 1:
                where = f"in {len(labels)} of {self.num_rows} rows, the first is '{labels[0]}'"
            shown += [str(mistake), f"      {where}"]
        return [*shown, "", "  python -m moe_lab train --help lists what there is"]


def refuse_own_keys(words: Sequence[str]) -> None:
    """ConfigError for a word that would take a run out of the study's hands."""
    for word in words:
        key = word.lstrip("+~").partition("=")[0]
        if key in OWN:
            raise ConfigError(f"{word}: a study sets {key} itself", OWN[key])
