"""Train the runs that a question needs, and answer it with intervals."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from moe_lab.config.check import check_line
from moe_lab.config.compose import Composition
from moe_lab.config.help import first_comment
from moe_lab.config.launch import CommandUsage, read_line, with_exit_code
from moe_lab.config.location import configuration_folder
from moe_lab.config.rules import rules_in_file
from moe_lab.errors import ConfigError
from moe_lab.sweeps.studies.definition import Study
from moe_lab.sweeps.studies.study_file import read_study, study_folder, study_names
from moe_lab.sweeps.studies.work_list import check_lines, labelled_lines


def studies() -> str:
    """The studies that can be typed and their questions, a line each."""
    names = study_names()
    width = max(map(len, names))
    return "\n".join(f"  {name:<{width}}  {first_comment('study', name)}" for name in names)


STUDY_USAGE = CommandUsage(
    "study",
    f"{__doc__}\n\nStudies:\n\n{studies()}",
    positional=("study",),
    texts=("out", "parts"),
    examples=(
        ("moe-lab study moe_vs_dense", "all of it; the same line goes on where it was stopped"),
        ("moe-lab study moe_vs_dense quick=true", "little data, two seeds: minutes"),
        ("moe-lab study moe_vs_dense plan=true", "what it would take; nothing is trained"),
        ("moe-lab study routers seeds=3 dataset.root=FOLDER", "other words go to every run"),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 all runs are done, 1 some failed, 2 a wrong command line or study, 130 or
    143 stopped by a signal.
    """
    typed = tuple(sys.argv[1:] if arguments is None else arguments)
    return with_exit_code("study", lambda: study_line(typed))


def study_line(typed: Sequence[str]) -> int:
    """Answer what a command line asks; UserError where it is wrong, before anything is trained."""
    own, shared = split_words(read_line(STUDY_USAGE, typed).words)
    (job,) = check_line("study", own)
    config = job.config
    study = chosen_study(job)
    if config.publish and config.quick:
        raise ConfigError("publish=true with quick=true", "the study as a whole", "leave one out")
    shared = [*(study.quick.overrides.split() if config.quick else ()), *shared]
    check_lines(labelled_lines(study, shared, matched=False))
    # torch and lightning take seconds to import: not before the command line is known to be right.
    from moe_lab.sweeps.studies.conduct import StudyRequest, conduct

    folder = Path("outputs/studies") / (study.name + ("_quick" if config.quick else ""))
    return conduct(
        StudyRequest(
            study,
            Path(config.out) if config.out else folder,
            config.seeds or (study.quick.seeds if config.quick else study.seeds),
            tuple(shared),
            tuple(typed),
            publish=config.publish,
            plan=config.plan,
        )
    )


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of the study command, and those for its training runs."""
    keys = {"study", *rules_in_file(configuration_folder() / "study.yaml")}
    own = [word for word in words if key_of(word) in keys]
    return own, [word for word in words if word not in own]


def key_of(word: str) -> str:
    """The key of a word; the word itself where it is none, which a check says later."""
    try:
        return str(OverridesParser.create().parse_override(word).key_or_group)
    except HydraException:
        return word


def chosen_study(job: Composition) -> Study:
    """The study that was asked for, or some parts of it; ConfigError where there is none."""
    name = job.choices.get("study")
    if name is None:
        raise ConfigError(
            "which study is not said",
            f"one of these\n\n{studies()}\n",
            f"python -m moe_lab study {study_names()[0]} quick=true",
        )
    study = read_study(study_folder() / f"{name}.yaml")
    parts = str(job.config.parts or "").strip("[]")
    return study.only([part.strip() for part in parts.split(",")]) if parts else study
