"""`hydra/sweeper=optuna`, as Hydra sees it; the work is done in `search`."""

from __future__ import annotations

import sys
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

# Hydra makes plugins of packages in hydra_plugins only. This name stands for a folder there, which
# would have to be installed, or found beside moe_lab wherever that is run from.
PACKAGE = "hydra_plugins.moe_lab"


class OptunaSweeper(Sweeper):
    """A search for good values instead of a grid of them."""

    __module__ = PACKAGE

    def __init__(
        self, sampler: Any, pruner: Any, n_trials: int, n_jobs: int, seed: int, trial: int | None
    ) -> None:
        self.sampler, self.pruner = sampler, pruner
        self.n_trials, self.n_jobs, self.seed = n_trials, n_jobs, seed

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.folder = str(config.hydra.sweep.dir)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        from moe_lab.sweeps.search.search import search

        search(self, arguments)


def register_sweeper() -> None:
    """Make `hydra/sweeper=optuna` known to Hydra; a second call changes nothing."""
    sys.modules[PACKAGE] = sys.modules[__name__]  # where Hydra imports the class from
    Plugins.instance().register(OptunaSweeper)
