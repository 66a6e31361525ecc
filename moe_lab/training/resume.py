"""How a training run goes on where an earlier one with the same configuration stopped."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import OmegaConf

from moe_lab.config.tree import NOT_HASHED, spell
from moe_lab.errors import ConfigError
from moe_lab.training.load_run import read_checkpoint
from moe_lab.training.random_states import KEY, Memory
from moe_lab.training.run_directory import RunDirectory, config_hash
from moe_lab.training.status import Stopped, clear, recorded_state

log = logging.getLogger("moe_lab")
LAST_OF_EPOCH = b'"train_epoch_loss"'


def memory_of(directory: RunDirectory) -> Memory:
    """The callback that makes last.ckpt hold all that is needed to go on exactly."""
    return Memory((directory.metrics, directory.path / "health.jsonl"))


def done_before(directory: RunDirectory, asked: dict[str, Any]) -> dict[str, Any] | None:
    """The summary of the run in a folder, if it is done; refuses one of another configuration."""
    refuse_changed(directory, asked)
    if recorded_state(directory.path).status != "done":
        return None
    print("this run is complete; nothing was done", flush=True)
    return directory.read_summary()


def go_on_from(directory: RunDirectory) -> Path | None:
    """The checkpoint of an interrupted run to go on from, after its last whole epoch.

    Without one, and after a failure, the folder is emptied for a new start.
    """
    last = directory.checkpoint("last")
    failed = recorded_state(directory.path).status in ("failed", "pruned")
    memory = None if failed else read_memory(last)
    if memory is None:
        clear(directory.path)
        return None
    directory.summary.unlink(missing_ok=True)
    for name, size in memory["sizes"].items():
        cut(directory.path / name, size)
    log.info("going on from %s", last)
    print(f"going on from {last}", flush=True)
    return last


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


def plain_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain containers, resolved."""
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
