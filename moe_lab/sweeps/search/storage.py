"""The study of a search: its trials, and how they ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moe_lab.errors import ConfigError, RecordError
from moe_lab.sweeps.jobs import Job
from moe_lab.sweeps.search.database import open_storage, place_of, settle_place
from moe_lab.sweeps.search.space import Space
from moe_lab.training.recorded_files import first_line
from moe_lab.training.status import State, read_state

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class TrialRow:
    """One trial as the table shows it."""

    number: int
    words: tuple[str, ...]  # what was typed for it, the fixed words included
    folder: str  # inside the search's folder; empty where its values did not fit together
    state: State


def require_optuna() -> None:
    """ConfigError that says what to install."""
    if not is_installed():
        raise ConfigError(
            "hydra/sweeper=optuna needs a package that is not installed: optuna",
            "moe_lab with its extra `optuna`",
            "pip install -c constraints.txt -e '.[optuna]', or pip install 'optuna>=5,<6'",
        )


def is_installed() -> bool:
    """Whether Optuna can be imported."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        return False
    return True


def open_study(folder: Path, **parts: Any) -> Study:
    """The study in a folder, made if it is not there yet; `parts` are its sampler and pruner."""
    import optuna
    from sqlalchemy.exc import DatabaseError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    place = place_of(folder)
    storage = open_storage(folder, place["storage"])
    try:
        return optuna.create_study(
            study_name=place["study"], storage=storage, direction="maximize", load_if_exists=True,
            **parts,
        )  # fmt: skip
    except DatabaseError as error:
        raise RecordError(
            f"the search in {folder} cannot be read: {first_line(error)}",
            "the database of a search as it was written",
            "take it from a copy of the folder, or search again in another run_dir",
        ) from None


def begin(folder: Path, space: Space, default: Job, n_trials: int, storage: str) -> None:
    """Write down what is searched, with the default configuration as trial 0.

    ConfigError where the search in this folder is another one.
    """
    settle_place(folder, storage)
    study = open_study(folder)
    asked = {"ranges": list(space.ranges), "default": default.folder}
    known = {key: study.user_attrs.get(key, value) for key, value in asked.items()}
    if known != asked:
        differs = "ranges" if known["ranges"] != asked["ranges"] else "fixed settings or seed"
        raise ConfigError(
            f"the search in {folder} has other {differs}",
            "the same command as before; only hydra.sweeper.n_trials and how trials are run may"
            " change",
            "choose another run_dir",
        )
    for key, value in {**asked, "n_trials": n_trials}.items():
        study.set_user_attr(key, value)
    if not study.trials:
        study.enqueue_trial(space.default())


def rows_of(folder: Path, study: Study) -> list[TrialRow]:
    """Every trial that was ever started, in order."""
    from optuna.trial import TrialState

    return [row_of(folder, t) for t in study.trials if t.state != TrialState.WAITING]


def row_of(folder: Path, trial: FrozenTrial) -> TrialRow:
    """One trial; the folder says how one stands that the study knows as running."""
    from optuna.trial import TrialState

    known = trial.user_attrs
    if trial.state == TrialState.COMPLETE:
        state = State("done", accuracy=trial.value)
    elif trial.state == TrialState.PRUNED:
        state = State("pruned", known.get("reason", ""), trial.value)
    elif trial.state == TrialState.FAIL:
        state = State("failed", known.get("reason", ""))
    else:
        state = read_state(folder / known["folder"]) if known.get("folder") else State("missing")
    return TrialRow(trial.number, tuple(known.get("words", ())), known.get("folder", ""), state)


def best_of(rows: Sequence[TrialRow]) -> TrialRow | None:
    """The finished trial with the highest validation accuracy, the earliest of several."""
    done = [row for row in rows if row.state.status == "done"]
    return max(done, key=lambda row: row.state.accuracy or 0.0, default=None)
