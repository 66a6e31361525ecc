"""Who judges a trial: a training run that answers to a search and leaves the test images alone.

The test is skipped, not only hidden: with a test accuracy in each of twenty summaries the best
could be picked by it, and the number would be no test any more. The search prints the command
that trains the best configuration, and that ordinary run reads the test images, once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moe_lab.config.instantiate import instantiate
from moe_lab.sweeps.search.storage import open_study
from moe_lab.training.callbacks import Pruning
from moe_lab.training.final_test import validation_only


class StudyJudge:
    """A trial in the study of a search, from the process that trains it."""

    def __init__(self, folder: Path, number: int, pruner: Any) -> None:
        from optuna.samplers import RandomSampler
        from optuna.trial import Trial

        # The values are chosen already: the sampler stands in for one that would look them up.
        study = open_study(folder, sampler=RandomSampler(), pruner=pruner)
        frozen = study.trials[number]
        self.trial = Trial(study, frozen._trial_id)
        self.reported = set(frozen.intermediate_values)

    def report(self, val_accuracy: float, epoch: int) -> None:
        """Epochs that were reported before a kill are not reported again."""
        if epoch not in self.reported:
            self.trial.report(val_accuracy, epoch)

    def is_hopeless(self) -> bool:
        return bool(self.trial.should_prune())


def examined_by_search(hydra: Any, folder: Path, number: int) -> dict[str, Any]:
    """What makes a request to train one of a search's trial: who may end it, and that it is judged
    on validation images alone.
    """
    judge = StudyJudge(folder, number, instantiate(hydra.sweeper.pruner))
    return {"examine": validation_only, "callbacks": [Pruning(judge)]}
