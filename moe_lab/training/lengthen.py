"""More epochs for a run that is there: possible where those it has had would have been the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import nn

from moe_lab.errors import ConfigError
from moe_lab.losses import Objective
from moe_lab.networks.progress import FollowsProgress
from moe_lab.training.classifier import Classifier
from moe_lab.training.resume import GoingOn, leaves_of
from moe_lab.training.run_directory import RunDirectory
from moe_lab.training.schedules import Schedule

EPOCHS = "trainer.max_epochs"


def epochs_before(directory: RunDirectory, asked: dict[str, Any]) -> int | None:
    """How many epochs the run was to have, where it is asked for more and for nothing else."""
    before, now = leaves_of(directory.read_config()), leaves_of(asked)
    changed = {key for key in {**before, **now} if before.get(key) != now.get(key)}
    if changed != {EPOCHS} or not now[EPOCHS] > before[EPOCHS]:
        return None
    return int(before[EPOCHS])


def refuse_other_course(
    classifier: Classifier, before: int, asked: Mapping[str, Any], found: GoingOn | None
) -> None:
    """ConfigError where a run of the new length would have gone another way from the start."""
    why = None
    if found is None:
        why = "there is no checkpoint of it to go on from"
    elif found.memory["should_stop"] and found.epochs < before:
        why = f"it was stopped early, after epoch {found.epochs}"
    elif changes_rate(classifier, before):
        why = f"its learning rate follows a curve over all of its {before} epochs"
    elif any(moves(module) for module in classifier.modules()):
        why = f"a part of it, such as a temperature, moves over all of its {before} epochs"
    if why is not None:
        longer = asked["trainer"]["max_epochs"]
        raise ConfigError(
            f"the run cannot be lengthened from {before} to {longer} epochs: {why}",
            "a run whose learning rate does not know the length of training, such as with "
            "scheduler=constant, plateau, step or exponential",
            f"train {longer} epochs in another run_dir; init_from takes over these weights",
        )


def changes_rate(classifier: Classifier, before: int) -> bool:
    """Whether the steps that are done would have had another learning rate."""
    schedule, each = classifier.schedule, classifier.steps_per_epoch
    if not isinstance(schedule, Schedule):
        return False
    done, total = before * each, classifier.total_steps
    return any(
        schedule.at(step, each, done) != schedule.at(step, each, total) for step in range(done)
    )


def moves(module: nn.Module) -> bool:
    """Whether a part changes with the share of training that is done."""
    if isinstance(module, Objective):
        return any(weight.moves for weight in module.weights.values())
    return isinstance(module, FollowsProgress)


def keep_results(directory: RunDirectory, epochs: int) -> None:
    """Put what the shorter run came to aside: summary_10_epochs.json."""
    for path in (directory.summary, directory.tables):
        if path.is_file():
            os.replace(path, path.with_name(f"{path.stem}_{epochs}_epochs{path.suffix}"))
