"""Composes configurations beside the Hydra application that a search runs in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from moe_lab.config.check import check_overrides
from moe_lab.config.location import configuration_folder
from moe_lab.config.resolvers import register_resolvers
from moe_lab.config.rules import Rule
from moe_lab.config.tree import rules_of
from moe_lab.sweeps.jobs import Job, JobList, register_job_folder


@dataclass(frozen=True)
class Composition:
    """A composed configuration, the option in each group, and the rule of each key."""

    config: DictConfig
    choices: Mapping[str, str]
    rules: Mapping[str, Rule]


@contextmanager
def beside() -> Iterator[None]:
    """Put away what Hydra holds for the whole process, and bring it back afterwards."""
    register_resolvers()
    register_job_folder()
    application, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = application
        HydraConfig.instance().cfg = config


def compose_default(words: Sequence[str]) -> Composition:
    """What words without ranges compose to."""
    with beside(), initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        config = compose("train", list(words), return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        loader = GlobalHydra.instance().config_loader()
        rules = rules_of(loader.compute_defaults_list("train", list(words), RunMode.RUN))
    chosen: Any = config.hydra.runtime.choices
    choices = {str(k): str(v) for k, v in chosen.items() if v is not None}
    return Composition(config, choices, rules)


def compose_job(words: Sequence[str]) -> Job:
    """The job of a trial; ConfigError where its values do not fit together."""
    jobs = JobList()
    with beside():
        check_overrides("train", list(words), multirun=False, on_job=jobs.add)
    return jobs.jobs[0]
