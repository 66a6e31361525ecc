"""Shared by all tests."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Tests are many small operations: more threads wait for each other longer than they work, and two
# workers would fight for the cores. Torch reads this when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from moe_lab.train import main
from moe_lab.training.sandbox import sandbox

# Whether a property holds must not depend on the day, on the load or on what failed before.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("fixed")
# No test may reach a dashboard or a data set site, whatever the user's own settings are.
os.environ["WANDB_MODE"] = "offline"
os.environ.pop("WANDB_API_KEY", None)
# What nobody foresaw fails a test with its traceback, and is not taken for a refusal.
os.environ["MOE_LAB_TRACEBACK"] = "1"
# A suite that a shell started in the background ignores Ctrl-C, and so would runs that tests stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "dataset=synthetic",
    "dataset.source.num_train=300",
    "dataset.source.num_test=100",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "expert.hidden=16",
    "report=false",
]

Train = Callable[..., tuple[int, Path]]
Trained = Callable[..., Path]
NOT_COMPARED = {"train_seconds", "images_per_second", "run_dir"}


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    """No test leaves Lightning's switches, seeds or variables to the next one."""
    with sandbox():
        yield


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Run `python -m moe_lab.train` in this process: (exit code, run directory)."""
    monkeypatch.chdir(tmp_path)
    count = 0

    def run(*arguments: str, small: bool = True) -> tuple[int, Path]:
        nonlocal count
        count += 1
        run_dir = tmp_path / f"run{count}"
        overrides = [*SMALL, *arguments] if small else list(arguments)
        if not any(argument.startswith("run_dir=") for argument in arguments):
            overrides.append(f"run_dir={run_dir}")
        return main(overrides), run_dir

    return run


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The folder of a small run with these words; only the first to ask trains it. Read only."""
    folder = tmp_path_factory.mktemp("trained")

    @functools.cache
    def run(*words: str) -> Path:
        run_dir = folder / f"run{len(list(folder.iterdir()))}"
        with sandbox():
            assert main([*SMALL, *words, f"run_dir={run_dir}"]) == 0
        return run_dir

    return run


@pytest.fixture
def trained(trained_once: Trained, tmp_path: Path) -> Trained:
    """A copy of a small run of its own, for tests of what comes after training."""
    copies = itertools.count(1)
    return lambda *words: Path(
        shutil.copytree(trained_once(*words), tmp_path / f"trained{next(copies)}")
    )


@pytest.fixture
def read_json() -> Callable[[Path], dict[str, Any]]:
    """The content of a JSON file."""
    return lambda path: dict(json.loads(path.read_text()))


@pytest.fixture
def summaries() -> Callable[[Path], dict[str, dict[str, Any]]]:
    """The summaries of a sweep's jobs by folder, without times and places."""

    def read(sweep: Path) -> dict[str, dict[str, Any]]:
        found = {}
        for path in sorted(sweep.glob("*/summary.json")):
            content = json.loads(path.read_text())
            found[path.parent.name] = {k: v for k, v in content.items() if k not in NOT_COMPARED}
        return found

    return read


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the official MNIST files; skips where this machine lacks it."""
    candidates = [
        os.environ.get("MOE_LAB_DATA", ""),
        ROOT / "data",
        ROOT.parent / "shared" / "data",
    ]
    for folder in map(Path, filter(None, candidates)):
        if (folder / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
            return folder
    pytest.skip("the official MNIST files are not here; set MOE_LAB_DATA")
