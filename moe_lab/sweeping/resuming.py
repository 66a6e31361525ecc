"""A training run that can go on where an earlier one with the same configuration stopped."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import OmegaConf

from moe_lab import composition
from moe_lab.classifier import Classifier
from moe_lab.configuration.tree import spell
from moe_lab.data import ImageData
from moe_lab.errors import ConfigError
from moe_lab.restore import read_checkpoint
from moe_lab.run_directory import NOT_HASHED, RunDirectory, config_hash
from moe_lab.sweeping.memory import KEY, Memory
from moe_lab.sweeping.states import Stopped, clear, recorded_state
from moe_lab.training import TrainingRun

log = logging.getLogger("moe_lab")
LAST_OF_EPOCH = b'"train_epoch_loss"'


class ResumableRun(TrainingRun):
    """A TrainingRun whose last.ckpt holds all that is needed to go on exactly.

    With `resume`: done runs are left as they are, interrupted ones go on after their last epoch,
    failed ones and those without a whole epoch start again.
    """

    def __init__(
        self, config: Any, data: ImageData, choices: dict[str, Any], resume: bool = False
    ) -> None:
        super().__init__(config, data, choices)
        self.resume = resume
        self.checkpoint: Path | None = None
        self.memory = Memory((self.directory.metrics, self.directory.path / "health.jsonl"))

    def run(self) -> dict[str, Any]:
        """The summary of the run, or of the one that was done before."""
        if self.resume and self.directory.config.is_file():
            composition.fill_in_data(self.config, self.data)
            refuse_changed(self.directory, plain(self.config))
            if recorded_state(self.directory.path).status == "done":
                print("this run is complete; nothing was done", flush=True)
                return self.directory.read_summary()
            self.checkpoint = self.go_on_from()
        return super().run()

    def go_on_from(self) -> Path | None:
        """The checkpoint to go on from; without one the folder is emptied for a new start."""
        last = self.directory.checkpoint("last")
        failed = recorded_state(self.directory.path).status in ("failed", "pruned")
        memory = None if failed else read_memory(last)
        if memory is None:
            clear(self.directory.path)
            return None
        self.directory.summary.unlink(missing_ok=True)
        for name, size in memory["sizes"].items():
            cut(self.directory.path / name, size)
        log.info("going on from %s", last)
        print(f"going on from {last}", flush=True)
        return last

    def build(self) -> tuple[Classifier, Trainer]:
        classifier, trainer = super().build()
        trainer.callbacks.append(self.memory)  # type: ignore[attr-defined]
        return classifier, trainer

    def fit(self, trainer: Trainer, classifier: Classifier) -> int:
        """0, or the exit code of the signal that ended the training."""
        try:
            trainer.fit(classifier, datamodule=self.data, ckpt_path=self.checkpoint)
        except SystemExit as stop:
            code = signalled(stop)
            if code is None:
                raise
            return code
        except KeyboardInterrupt:
            return 130
        return 130 if trainer.interrupted else 0


def signalled(stop: SystemExit) -> int | None:
    """130 or 143 for the exit that follows a signal; None for one that the job chose."""
    if isinstance(stop, SIGTERMException | Stopped):
        return 143
    # Lightning answers Ctrl-C with sys.exit(1).
    return 130 if isinstance(stop.__context__, KeyboardInterrupt) else None


def read_memory(path: Path) -> dict[str, Any] | None:
    """What a checkpoint remembers; None where there is none, or a kill left half of one."""
    if not path.is_file():
        return None
    try:
        memory: dict[str, Any] | None = read_checkpoint(path).get(KEY)
    except Exception:
        log.warning("%s cannot be read; the run starts again", path, exc_info=True)
        return None
    return memory


def cut(path: Path, size: int) -> None:
    """Take back the lines written after the checkpoint, but for the last of its own epoch."""
    if not path.is_file():
        return
    content = path.read_bytes()
    after = content[size:].splitlines(keepends=True)
    ends = [place for place, line in enumerate(after) if LAST_OF_EPOCH in line]
    own = after[: ends[0] + 1] if ends else []
    path.write_bytes(content[:size] + b"".join(own))


def refuse_changed(directory: RunDirectory, asked: dict[str, Any]) -> None:
    """ConfigError where the run in this folder was asked for in another way."""
    recorded = directory.read_config()
    same_seed = recorded.get("seed") == asked["seed"]
    if same_seed and config_hash(recorded) == config_hash(asked):
        return
    before, now = leaves_of(recorded), leaves_of(asked)
    changed = [
        f"{key}: {spell(before.get(key))} -> {spell(now.get(key))}"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    ]
    raise ConfigError(
        f"the run in {directory.path} has another configuration: {'; '.join(changed)}",
        "the same configuration and seed as the run that is to go on",
        "type the same command with resume=true, or choose another run_dir",
    )


def leaves_of(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """What counts for the hash, and the seed, by dotted key."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if key in NOT_HASHED - {"seed"}:
            continue
        inner = leaves_of(value, f"{prefix}{key}.") if isinstance(value, dict) else None
        found |= {f"{prefix}{key}": value} if inner is None else inner
    return found


def plain(config: Any) -> dict[str, Any]:
    """A configuration as plain containers, resolved."""
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
