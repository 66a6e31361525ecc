"""The loop of a search: ask for values, train, tell how it went.

1. trials that a kill has left unfinished go on first
2. each proposal follows from (hydra.sweeper.seed, number of the trial, trials before it), so that
   a search which was killed and goes on proposes what it would have proposed anyway
3. what came out is read from the trial's folder, as for any job of a sweep
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from moe_lab.errors import UserError
from moe_lab.sweeps.jobs import write_record
from moe_lab.sweeps.search.composing import compose_job
from moe_lab.sweeps.search.space import Space, make_space
from moe_lab.sweeps.search.study import NAME, open_study
from moe_lab.training.run_directory import RunDirectory
from moe_lab.training.status import State, claim, recorded_state

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial

log = logging.getLogger("moe_lab")


class Settings(Protocol):
    """What conf/hydra/sweeper/optuna.yaml sets, and where Hydra wants the trials to go."""

    sampler: Any
    pruner: Any
    n_trials: int
    n_jobs: int
    seed: int
    folder: str
    launcher: Any


def search(settings: Settings, arguments: Sequence[str]) -> None:
    """Run trials until there are `n_trials`; one that fails stops no other."""
    folder = Path(settings.folder)
    with claim(folder / NAME) as is_mine:
        if not is_mine:
            print("another process is at work on this search", flush=True)
            return
        searcher = Searcher(settings, make_space(arguments), folder)
        while batch := searcher.next_batch():
            searcher.run(batch)


class Searcher:
    """One process at work on a search."""

    def __init__(self, settings: Settings, space: Space, folder: Path) -> None:
        self.settings, self.space, self.folder = settings, space, folder
        self.study: Study = open_study(folder, pruner=settings.pruner)

    def next_batch(self) -> list[Trial]:
        """The trials to run next, those first that were left unfinished."""
        from optuna.trial import Trial, TrialState

        left = [t for t in self.study.trials if t.state == TrialState.RUNNING]
        batch = []
        for frozen in left[: self.settings.n_jobs]:
            self.study.sampler = self.sampler(frozen.number)
            batch.append(Trial(self.study, frozen._trial_id))
        while len(batch) < self.settings.n_jobs and self.started() < self.settings.n_trials:
            self.study.sampler = self.sampler(self.started())
            batch.append(self.study.ask())
        return batch

    def started(self) -> int:
        """How many trials were ever started."""
        from optuna.trial import TrialState

        return sum(trial.state != TrialState.WAITING for trial in self.study.trials)

    def sampler(self, number: int) -> Any:
        """A sampler with random numbers of its own for each trial."""
        (seed,) = np.random.SeedSequence([self.settings.seed, number]).generate_state(1)
        return self.settings.sampler(seed=int(seed))

    def run(self, batch: Sequence[Trial]) -> None:
        """Train a batch and tell the study what came out."""
        words = {trial.number: self.prepare(trial) for trial in batch}
        sound = [trial for trial in batch if words[trial.number]]
        lines = [[*words[t.number], f"hydra.sweeper.trial={t.number}"] for t in sound]
        try:
            if lines:
                self.settings.launcher.launch(lines, initial_job_idx=sound[0].number)
        except Exception:  # such as a worker process that the system has killed
            log.exception("a launcher failed")
        for trial in sound:
            self.tell(trial, recorded_state(self.folder / trial.user_attrs["folder"]))

    def prepare(self, trial: Trial) -> list[str]:
        """Choose the values of a trial and write it down; no words where they do not fit."""
        words = [*self.space.fixed, *self.space.words_of(trial)]
        trial.set_user_attr("words", words)
        try:
            job = compose_job(words)
        except UserError as error:
            reason = error.wrong if error.wrong else str(error)
            self.tell(trial, State("failed", " ".join(reason.split())))
            return []
        trial.set_user_attr("folder", job.folder)
        write_record(self.folder, [job])
        return words

    def tell(self, trial: Trial, state: State) -> None:
        """Close a trial."""
        from optuna.trial import TrialState

        if state.status == "done":
            summary = RunDirectory(self.folder / trial.user_attrs["folder"]).read_summary()
            self.study.tell(trial, float(summary["val_accuracy"]))
        elif state.status == "pruned":
            trial.set_user_attr("reason", state.reason)
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_user_attr("reason", state.reason or "the trial has left nothing")
            self.study.tell(trial, state=TrialState.FAIL)
