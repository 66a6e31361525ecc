"""How a training run goes on where an earlier one with the same configuration stopped.

First it is decided, and nothing is written: a refusal leaves the folder as it was. Then the folder
is brought to what the checkpoint knows.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import OmegaConf

from moe_lab.config.tree import NOT_HASHED, spell
from moe_lab.errors import ConfigError, UserError
from moe_lab.training.checkpoint_files import previous_of, read_checkpoint
from moe_lab.training.checksums import digest_of
from moe_lab.training.disk import remove_partial_files
from moe_lab.training.random_states import KEY
from moe_lab.training.ranks import is_first_process
from moe_lab.training.run_directory import RunDirectory, config_hash
from moe_lab.training.status import Stopped, clear, recorded_state

log = logging.getLogger("moe_lab")


@dataclass(frozen=True)
class GoingOn:
    """A checkpoint to go on from, and what it knows."""

    path: Path
    memory: dict[str, Any]
    stopwatch: dict[str, Any]
    epochs: int  # that are complete


def done_before(directory: RunDirectory) -> dict[str, Any] | None:
    """The summary of the run in a folder, if it is done."""
    if recorded_state(directory.path).status != "done":
        return None
    for path in [*directory.record_files(), directory.checkpoint("best")]:
        directory.checksums.verify(path)
    return directory.read_summary()


def find_checkpoint(directory: RunDirectory) -> GoingOn | None:
    """The last whole epoch of a run, or the one before where the last cannot be read.

    None where there is no checkpoint yet, and for a trial that a search has ended. UserError where
    there are only damaged ones: training is not begun anew without being asked to.
    """
    state = recorded_state(directory.path)
    if state.status == "pruned":
        return None
    if state.status == "failed":
        announce(f"the attempt before has failed: {state.reason}")
    last = directory.checkpoint("last")
    tried = [path for path in (last, previous_of(last)) if path.is_file()]
    for path in tried:
        try:
            content = read_checkpoint(path)
            memory = content[KEY]
            watch = content["callbacks"]["Stopwatch"]
        except (UserError, KeyError) as error:
            wrong = error.wrong if isinstance(error, UserError) else f"{path} holds no {error}"
            announce(f"{wrong}; trying the checkpoint before it")
            continue
        find_best(directory, memory)
        return GoingOn(path, memory, watch, int(content["epoch"]) + 1)
    if tried:
        raise UserError(
            f"no checkpoint in {directory.checkpoints} can be read, and so the run cannot go on",
            "last.ckpt or last.previous.ckpt as training wrote them",
            f"take one from a copy, or delete {directory.path} to train from the start",
        )
    return None


def find_best(directory: RunDirectory, memory: dict[str, Any]) -> Path | None:
    """The best weights that a checkpoint knows of, which a later epoch may have replaced."""
    best = directory.checkpoint("best")
    wanted = memory.get("best")
    for path in (best, previous_of(best)):
        if wanted is not None and path.is_file() and digest_of(path) == wanted:
            return path
    if wanted is not None:
        read_checkpoint(best)  # whole, of a later epoch; Damaged where it is not
    return None


def bring_back(directory: RunDirectory, found: GoingOn | None) -> None:
    """Leave in a folder what the checkpoint knows of; without one, nothing but the log."""
    if not is_first_process():
        return
    remove_partial_files(directory.path)
    remove_partial_files(directory.checkpoints)
    if found is None:
        if directory.holds_run():
            announce(f"no whole epoch is kept in {directory.path}: starting with the first")
            clear(directory.path)
        return
    results = [directory.summary, directory.tables]
    directory.checksums.forget([*results, directory.metrics, directory.health])
    for path in results:
        path.unlink(missing_ok=True)
    for name, size in found.memory["sizes"].items():
        cut(directory.path / name, size, found.memory.get("sums", {}).get(name))
    last, best = directory.checkpoint("last"), directory.checkpoint("best")
    if found.path != last and last.is_file():
        os.replace(last, last.with_name("last.damaged"))
    known = find_best(directory, found.memory)
    if known is not None and known != best:
        os.replace(known, best)
    announce(f"going on from {found.path}")


def announce(text: str) -> None:
    """On the screen and in the log."""
    if is_first_process():
        log.info("%s", text)
        print(text, flush=True)


def signalled(stop: SystemExit) -> int | None:
    """130 or 143 for the exit that follows a signal; None for one that the job chose."""
    if isinstance(stop, SIGTERMException | Stopped):
        return 143
    # Lightning answers Ctrl-C with sys.exit(1).
    return 130 if isinstance(stop.__context__, KeyboardInterrupt) else None


def cut(path: Path, size: int, digest: str | None) -> None:
    """Take back the lines that were written after the checkpoint."""
    content = path.read_bytes() if path.is_file() else b""
    kept = content[:size]
    if digest is not None and hashlib.sha256(kept).hexdigest() != digest:
        announce(f"{path} is damaged or was changed: its lines up to here are not to be relied on")
    if len(content) > size:
        os.truncate(path, size)


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


def plain_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain containers, resolved."""
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
