"""The test predictions of a run's best weights, worked out once and kept in the run directory."""

from __future__ import annotations

import contextlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from moe_lab.analysis.collected import collect
from moe_lab.analysis.opened_run import open_run
from moe_lab.comparison.found_runs import Group
from moe_lab.comparison.recipe import Draw
from moe_lab.comparison.statistics import McNemar, mcnemar
from moe_lab.training.run_directory import RunDirectory

FILE = "predictions_test.npz"
DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    AttributeError,
    BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Predictions:
    """Answered and true classes of the test images, in their own order."""

    predicted: NDArray[np.int64]  # [B]
    target: NDArray[np.int64]  # [B]

    @property
    def correct(self) -> NDArray[np.bool_]:
        return self.predicted == self.target


def predictions_of(run: Path, root: str | None = None) -> Predictions:
    """The predictions of a run, from its file or, where that is missing or older than the weights,
    from the weights; UserError where weights or data are missing.
    """
    path, checkpoint = run / FILE, RunDirectory(run).checkpoint("best")
    if path.is_file() and not is_older(path, checkpoint):
        try:
            with np.load(path, allow_pickle=False) as kept:
                return Predictions(kept["predicted"], kept["target"])
        except DAMAGED:
            pass  # worked out again, which also replaces the file
    request = {
        "run": str(run), "split": "test", "checkpoint": "best", "root": root,
        "eval_batch_size": None,
    }  # fmt: skip
    opened = open_run(OmegaConf.create(request))
    with opened.on_device() as classifier:
        records = collect(classifier, opened.loader(), opened.data.class_names)
    found = Predictions(records.predicted, records.target)
    # Renamed when complete, so that an interruption leaves no half of a file.
    partial = path.with_name(f".partial_{FILE}")
    with contextlib.suppress(OSError):  # a run that may only be read is worked out each time
        np.savez_compressed(partial, predicted=found.predicted, target=found.target)
        partial.replace(path)
    return found


def is_older(path: Path, checkpoint: Path) -> bool:
    return checkpoint.is_file() and path.stat().st_mtime < checkpoint.stat().st_mtime


class AnswerMatcher:
    """McNemar's test between two groups, seed by seed; the predictions of a run are read once."""

    def __init__(self, root: str | None = None) -> None:
        self.root = root
        self.known: dict[Path, Predictions] = {}

    def __call__(self, first: Group, second: Group) -> dict[Draw, McNemar]:
        """By the seeds and split seeds that both have."""
        runs = [{run.draw: run.path for run in group.runs} for group in (first, second)]
        return {
            draw: mcnemar(self.get(runs[0][draw]).correct, self.get(runs[1][draw]).correct)
            for draw in sorted(runs[0].keys() & runs[1].keys())
        }

    def get(self, run: Path) -> Predictions:
        if run not in self.known:
            self.known[run] = predictions_of(run, self.root)
        return self.known[run]
