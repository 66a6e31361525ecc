"""Publishes the results of a study: page, numbers and figure in outputs/published/ of a checkout.

What is published can be made again by whoever has its commit: so there has to be one, and the
files that runs read must not differ from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moe_lab.comparison.found_runs import Run
from moe_lab.errors import ConfigError
from moe_lab.training import environment
from moe_lab.training.run_directory import RunDirectory

MOST_LISTED = 10


def published_folder() -> Path:
    """Where published results lie."""
    return environment.checkout() / environment.PUBLISHED


def refuse_unclean_checkout() -> None:
    """ConfigError where the code is no commit."""
    folder = environment.checkout()
    changed = environment.changed_files(folder)
    if changed is None:
        raise ConfigError(
            f"publish=true: {folder} is no git checkout",
            "a commit that the results can be made from again",
            "clone the repository and run the study there",
        )
    if changed:
        raise ConfigError(
            f"publish=true: files differ from the commit: {listed(changed)}",
            "a checkout without uncommitted changes",
            "commit or stash them",
        )


def refuse_unclean_runs(runs: Sequence[Run]) -> None:
    """ConfigError where runs that were done before were not made from a commit."""
    unclean = [str(run.path) for run in runs if not is_clean(run)]
    if unclean:
        raise ConfigError(
            "publish=true: runs were made with uncommitted changes or outside a checkout: "
            + listed(unclean),
            "runs that a commit makes again",
            "remove their folders or type another out=FOLDER, and they are trained anew",
        )


def is_clean(run: Run) -> bool:
    state = RunDirectory(run.path).read_environment().get("git")
    return state is not None and not state["modified"]


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more
