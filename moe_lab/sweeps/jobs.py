"""The jobs of a command line, and the folder that follows from each job's configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from moe_lab.config.compose import Composition
from moe_lab.training.checksums import Damaged, digest_of_list
from moe_lab.training.disk import write_atomically
from moe_lab.training.recorded_files import read_json, understanding
from moe_lab.training.run_directory import asked_hash

RECORD = "sweep.json"


@dataclass(frozen=True)
class Job:
    """One job: what was typed for it, and where it goes inside the sweep's folder."""

    overrides: tuple[str, ...]
    seed: int
    config_hash: str  # of the configuration as typed: the data have not been read yet
    composition: Composition | None = field(default=None, compare=False)

    @classmethod
    def of(cls, composition: Composition) -> Job:
        words = tuple(w for w in composition.words if not w.lstrip("+~").startswith("hydra"))
        config = composition.config
        return cls(words, int(config.seed), asked_hash(config), composition)

    @property
    def folder(self) -> str:
        return f"{self.config_hash}_seed{self.seed}"

    @property
    def composed(self) -> Composition:
        """What the job's words compose to; a job read from a record has not been composed."""
        assert self.composition is not None
        return self.composition


def job_folder(*, _root_: DictConfig) -> str:
    """`${moe.job_folder:}`: the name of the folder of the job that a launcher composes."""
    return Job((), int(_root_.seed), asked_hash(_root_)).folder


def register_job_folder() -> None:
    """Make `moe.job_folder` known to OmegaConf; may be called again."""
    OmegaConf.register_new_resolver("moe.job_folder", job_folder, replace=True)


def write_record(sweep: Path, jobs: Sequence[Job]) -> None:
    """Add jobs to the list of those that were ever asked for in this sweep."""
    sweep.mkdir(parents=True, exist_ok=True)
    known = {job.folder: job for job in [*recorded_jobs(sweep), *jobs]}
    content = [
        {"folder": job.folder, "config_hash": job.config_hash, "seed": job.seed,
         "overrides": list(job.overrides)}
        for job in known.values()
    ]  # fmt: skip
    record = {"jobs": content, "checksum": digest_of_list(content)}
    write_atomically(sweep / RECORD, json.dumps(record, indent=2) + "\n")


def recorded_jobs(sweep: Path) -> list[Job]:
    """The jobs of a sweep, in the order in which they were first asked for; none without one."""
    path = sweep / RECORD
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        return []
    content = read_json(path)
    with understanding(path):
        # Sweeps of earlier versions have no checksum.
        if content.get("checksum") not in (None, digest_of_list(content["jobs"])):
            raise Damaged(path, f"delete {path}: the line of the sweep writes it again")
        return [
            Job(tuple(j["overrides"]), int(j["seed"]), str(j["config_hash"]))
            for j in content["jobs"]
        ]
