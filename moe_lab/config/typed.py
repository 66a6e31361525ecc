"""What a person types in a shell to get something done."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe_lab.config.launch import quoted

PLAIN = re.compile(r"[\w./+-]+")  # what Hydra takes for a text without quotes


def shell_line(command: str, words: Sequence[str]) -> str:
    """A command with its words, quoted for a shell, in the spelling in which this process was
    started: `moe-lab NAME`, `python -m moe_lab NAME`, or under torchrun.
    """
    processes = os.environ.get("LOCAL_WORLD_SIZE")
    if "TORCHELASTIC_RUN_ID" in os.environ and processes is not None:
        program = ["torchrun", f"--nproc-per-node={processes}", "-m", "moe_lab"]
    elif Path(sys.argv[0]).stem == "moe-lab":
        program = ["moe-lab"]
    else:
        program = ["python", "-m", "moe_lab"]
    return shlex.join([*program, command, *words])


def from_here(path: str | Path) -> str:
    """A path as short as it can be typed: relative where it is below the current folder."""
    path = Path(path)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def line_that_goes_on(words: Sequence[str], run_dir: Path) -> str:
    """The command that takes a run up again where it is, from the words it was started with."""
    kept = [w for w in words if w.partition("=")[0] not in ("run_dir", "resume")]
    place = from_here(run_dir)
    spelled = place if PLAIN.fullmatch(place) else quoted(place)
    return shell_line("train", [*kept, f"run_dir={spelled}", "resume=true"])


def as_list(value: Any) -> list[Any]:
    """One value or several, as a list; none for null."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
