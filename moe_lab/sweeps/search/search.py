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
from typing import TYPE_CHECKING, Any

import numpy as np

from moe_lab.config.check import check_line
from moe_lab.config.instantiate import instantiate
from moe_lab.errors import ConfigError, UserError
from moe_lab.sweeps.jobs import RECORD, Job, write_record
from moe_lab.sweeps.launch_jobs import LAUNCHER, STOPPED, launch_elsewhere, train_in_sweep
from moe_lab.sweeps.search.database import NAME, holds_search
from moe_lab.sweeps.search.space import Space, make_space
from moe_lab.sweeps.search.storage import begin, open_study
from moe_lab.training.claim import claim, is_locked
from moe_lab.training.run_directory import RunDirectory
from moe_lab.training.status import State, Stopped, recorded_state

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial

log = logging.getLogger("moe_lab")


def plan_search(default: Job, words: Sequence[str]) -> int:
    """Say what a search would cost at most; nothing is trained."""
    from moe_lab.sweeps.plan import make_plan, print_plan, rough_duration

    make_space(task_words(words))
    entries = make_plan([default], None)
    print_plan(entries, None)
    trials = int(default.composed.hydra.sweeper.n_trials)
    print(
        f"a search: {trials} trials, the one above, which is the default, among them; "
        f"{rough_duration(trials * entries[0].seconds)} if all were like it. Larger ones take "
        "longer, and those that are pruned less",
        flush=True,
    )
    return 2 if isinstance(entries[0].found, str) else 0


def run_search(default: Job, words: Sequence[str], folder: Path, hydra_words: Sequence[str]) -> int:
    """Run trials until there are `hydra.sweeper.n_trials`; one that fails stops no other.

    The code of the signal that stopped it, or 0. ConfigError where the folder holds something else.
    """
    if (folder / RECORD).is_file() and not holds_search(folder):
        raise ConfigError(f"run_dir={folder} holds a sweep", "a folder of the search's own")
    if is_locked(folder / NAME):
        raise ConfigError(f"another process is at work on the search in {folder}")
    space, settings = make_space(task_words(words)), default.composed.hydra.sweeper
    begin(folder, space, default, int(settings.n_trials), str(settings.storage))
    try:
        with claim(folder / NAME) as is_mine:
            if not is_mine:
                print("another process is at work on this search", flush=True)
                return 0
            searcher = Searcher(settings, space, folder, hydra_words)
            while batch := searcher.next_batch():
                if (code := searcher.run(batch)) in STOPPED:
                    return code
    except Stopped as stop:
        return int(stop.code or 143)
    except KeyboardInterrupt:
        return 130
    return 0


class Searcher:
    """One process at work on a search; `settings` are those of conf/hydra/sweeper/optuna.yaml."""

    def __init__(
        self, settings: Any, space: Space, folder: Path, hydra_words: Sequence[str]
    ) -> None:
        self.space, self.folder, self.hydra_words = space, folder, list(hydra_words)
        self.n_trials, self.n_jobs = int(settings.n_trials), int(settings.n_jobs)
        self.seed, self.make_sampler = int(settings.seed), instantiate(settings.sampler)
        self.study: Study = open_study(folder, pruner=instantiate(settings.pruner))
        self.is_here = all(
            word == f"{LAUNCHER}basic" for word in hydra_words if word.startswith(LAUNCHER)
        )

    def next_batch(self) -> list[Trial]:
        """The trials to run next, those first that were left unfinished."""
        from optuna.trial import Trial, TrialState

        left = [t for t in self.study.trials if t.state == TrialState.RUNNING]
        batch = []
        for frozen in left[: self.n_jobs]:
            self.study.sampler = self.sampler(frozen.number)
            batch.append(Trial(self.study, frozen._trial_id))
        while len(batch) < self.n_jobs and self.started() < self.n_trials:
            self.study.sampler = self.sampler(self.started())
            batch.append(self.study.ask())
        return batch

    def started(self) -> int:
        """How many trials were ever started."""
        from optuna.trial import TrialState

        return sum(trial.state != TrialState.WAITING for trial in self.study.trials)

    def sampler(self, number: int) -> Any:
        """A sampler with random numbers of its own for each trial."""
        (seed,) = np.random.SeedSequence([self.seed, number]).generate_state(1)
        return self.make_sampler(seed=int(seed))

    def run(self, batch: Sequence[Trial]) -> int:
        """Train a batch and tell the study what came out; the code of a signal, or 0."""
        jobs = {trial.number: self.prepare(trial) for trial in batch}
        sound = {number: job for number, job in jobs.items() if job is not None}
        code = 0
        try:
            if self.is_here:
                for number, job in sound.items():
                    result = train_in_sweep(
                        job.composed, self.folder, self.heading(number, job), number
                    )
                    code = result.exit_code if result is not None else 0
                    if code in STOPPED:
                        return code
            elif sound:
                lines = [[*j.overrides, f"hydra.sweeper.trial={n}"] for n, j in sound.items()]
                launch_elsewhere(lines, self.folder, self.hydra_words)
        except Exception:  # such as a worker process that the system has killed
            log.exception("a launcher failed")
        for trial in batch:
            if trial.number in sound:
                self.tell(trial, recorded_state(self.folder / trial.user_attrs["folder"]))
        return code

    def heading(self, number: int, job: Job) -> str:
        """What is shown above a trial, whose number counts from 0: the values that it tries."""
        fixed = {*self.space.fixed, *self.hydra_words}
        words = [word for word in job.overrides if word not in fixed]
        return f"trial {number}, of {self.n_trials}: {' '.join(words) or 'the default values'}"

    def prepare(self, trial: Trial) -> Job | None:
        """Choose the values of a trial and write it down; None where they do not fit together."""
        words = [*self.space.fixed, *self.space.words_of(trial)]
        trial.set_user_attr("words", words)
        try:
            job = Job.of(check_line("train", [*self.hydra_words, *words])[0])
        except UserError as error:
            reason = error.wrong if error.wrong else str(error)
            self.tell(trial, State("failed", " ".join(reason.split())))
            return None
        trial.set_user_attr("folder", job.folder)
        write_record(self.folder, [job])
        return job

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


def task_words(words: Sequence[str]) -> list[str]:
    """A line without Hydra's own words."""
    return [w for w in words if not w.lstrip("+~").startswith(("hydra/", "hydra."))]
