"""What a run ran on: versions, source revision, data and hardware."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "torch", "torchvision", "lightning", "hydra-core", "omegaconf", "torchmetrics", "numpy",
    "scipy", "wandb", "moe_lab",
)  # fmt: skip

PUBLISHED = "outputs/published"
READ_BY_RUNS = ("moe_lab", "conf")


def describe_environment(data: dict[str, Any], command: list[str]) -> dict[str, Any]:
    """The content of environment.json."""
    return {
        "command": command,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: installed_version(name) for name in PACKAGES},
        "git": git_state(),
        "data": data,
        "hardware": hardware(),
    }


def installed_version(package: str) -> str | None:
    """The version of an installed package, None where it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def checkout() -> Path:
    """The folder that holds moe_lab/; a git checkout unless it was installed from a wheel."""
    return Path(__file__).resolve().parents[2]


def git_state() -> dict[str, Any] | None:
    """Commit and whether files that a run reads differ from it; None outside a checkout."""
    folder = checkout()
    commit, changed = git(folder, "rev-parse", "HEAD"), changed_files(folder)
    if commit is None or changed is None:
        return None
    return {"commit": commit, "modified": bool(changed)}


def changed_files(folder: Path) -> list[str] | None:
    """Files of a checkout that differ from its commit, and new ones that a run could read; None
    where there is no checkout. Published results are not among them: no run reads those.
    """
    if not (folder / ".git").exists():
        return None
    tracked = git(folder, "diff", "--name-only", "HEAD", "--", ".", f":!{PUBLISHED}")
    new = git(folder, "ls-files", "--others", "--exclude-standard", "--", *READ_BY_RUNS)
    return None if tracked is None or new is None else [*tracked.splitlines(), *new.splitlines()]


def git(folder: Path, *arguments: str) -> str | None:
    """What git says; None where it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def hardware() -> dict[str, Any]:
    """Processor, cores, threads, memory in GiB and GPUs."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    pages = (
        os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if sys.platform != "win32" else 0
    )
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_gib": round(pages / 2**30, 1),
        "gpus": gpus,
    }


def processor_name() -> str:
    """The model name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
