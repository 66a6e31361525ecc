"""One study from its checked words to its page: check -> train -> digest -> write -> publish."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_lab.config.launch import check_folder, print_error
from moe_lab.errors import ConfigError, UserError
from moe_lab.sweeps.stopping import stoppable, under_way
from moe_lab.sweeps.studies import publication
from moe_lab.sweeps.studies.definition import Study
from moe_lab.sweeps.studies.digest import digest
from moe_lab.sweeps.studies.execution import train_all
from moe_lab.sweeps.studies.forest_plot import forest
from moe_lab.sweeps.studies.markdown import page
from moe_lab.sweeps.studies.preview import preview
from moe_lab.sweeps.studies.work_list import (
    Done,
    StudyRun,
    check_lines,
    labelled_lines,
    work_list,
)
from moe_lab.training.claim import claim
from moe_lab.training.environment import describe_environment
from moe_lab.training.sandbox import at_work
from moe_lab.training.status import Stopped


@dataclass(frozen=True)
class StudyRequest:
    """What is to be answered, and how it is gone about."""

    study: Study
    out: Path
    seeds: int
    shared: tuple[str, ...]  # words of the training command for every run
    typed: tuple[str, ...]  # the words behind `python -m moe_lab study`
    publish: bool = False
    plan: bool = False

    @property
    def command(self) -> str:
        """The line that goes on from here."""
        return shlex.join(["python", "-m", "moe_lab", "study", *self.typed])

    @property
    def published_command(self) -> str:
        """The line that makes the results again, wherever its files lie."""
        places = ("out=", "publish=", "dataset.root=")
        words = [word for word in self.typed if not word.startswith(places)]
        rooted = any(word.startswith("dataset.root=") for word in self.typed)
        words += ["dataset.root=FOLDER"] if rooted else []
        return shlex.join(["python", "-m", "moe_lab", "study", *words])


def conduct(request: StudyRequest) -> int:
    """Train what is missing and write what it comes to.

    The exit code: 0 all runs are done, 1 some failed, 130 or 143 stopped by a signal. UserError
    before anything is trained.
    """
    with stoppable(), at_work():
        under_way()
        try:
            return answer_study(request)
        except KeyboardInterrupt:
            code = 130
        except Stopped as stop:
            code = int(stop.code or 143)
    print(f"\nstopped; go on with\n\n  {request.command}\n", file=sys.stderr, flush=True)
    return code


def answer_study(request: StudyRequest) -> int:
    """The road itself; a signal leaves it as an exception."""
    study = request.study
    check_folder(request.out, "out")
    if request.publish:
        publication.refuse_unclean_checkout()
    check_lines(labelled_lines(study, request.shared, matched=True))
    runs = work_list(study, request.out, range(request.seeds), request.shared)
    if request.plan:
        return preview(runs)
    if request.publish:
        before = [run.finished for run in runs]
        publication.refuse_unclean_runs([run for run in before if run is not None])
    with claim(request.out) as is_mine:
        if not is_mine:
            raise ConfigError(
                f"another process is at work on the study in {request.out}",
                "one process for each folder",
                "wait for it, or type another out=FOLDER",
            )
        done, failed = train_all(runs)
        return finish_study(request, done, failed)


def finish_study(request: StudyRequest, done: Done, failed: Sequence[StudyRun]) -> int:
    """Write and print the page about the runs that are done, and name those that failed."""
    for run in failed:
        print(f"failed: {shlex.join(['python', '-m', 'moe_lab.train', *run.words])}",
              file=sys.stderr)  # fmt: skip
    if not done:
        print(f"\nnone of the {len(failed)} runs ended well", file=sys.stderr)
        return 1
    try:
        environment = describe_environment({}, [])
        result = digest(request.study, done, environment, request.published_command, request.shared)
        files = write_results(result, request.out, "results")
        print(f"\n{page(result, 'results')}\nwritten: {files}", flush=True)
        if request.publish:
            publish(request, result, done, failed)
    except UserError as error:  # such as runs on different data; the runs themselves are sound
        print_error("moe_lab study", error)
        return 1
    return int(bool(failed))


def publish(
    request: StudyRequest, result: dict[str, Any], done: Done, failed: Sequence[StudyRun]
) -> None:
    """Write the results to where they are committed; UserError where they are not sound."""
    if failed:
        raise UserError(
            f"publish=true: {len(failed)} runs failed, so that nothing was published",
            "a study without gaps",
            f"mend them, then go on with: {request.command}",
        )
    publication.refuse_unclean_runs([run for _, run in done])
    folder = publication.published_folder()
    print(f"published: {write_results(result, folder, request.study.name)}", flush=True)


def write_results(result: dict[str, Any], folder: Path, name: str) -> str:
    """NAME.json, NAME.md and NAME.png in a folder; where they are, in words."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(page(result, name), encoding="utf-8")
    forest(result).savefig(folder / f"{name}.png", dpi=130)
    return f"{folder / name}.md, .json and .png"
