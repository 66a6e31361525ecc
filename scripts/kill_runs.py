"""Kills runs and sweeps at random moments, goes on, and compares with what was never disturbed.

    python scripts/kill_runs.py --count 100 --folders /tmp /mnt/other

A single run or a sweep of two is killed (SIGKILL, a tenth of them SIGTERM) after a random time and
gone on with until it is done; weights, metrics.jsonl, health.jsonl, tables and summary must equal
those of an undisturbed one, times aside. Folders are taken in turn: give some of two file systems.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

LINE = [
    "dataset=synthetic", "dataset.source.num_train=600", "dataset.source.num_test=100",
    "dataset.batch_size=32", "trainer.max_epochs=12", "trainer.accelerator=cpu", "expert.hidden=16",
    "expert.dropout=0.2", "callbacks.health.every=4", "trainer.log_every_n_steps=3", "report=false",
    "callbacks.progress.style=none",
]  # fmt: skip
SWEEP = ["-m", "seed=0,1"]
TIMES = ("train_seconds", "images_per_second")
PLACES = ("run_dir", "run_name")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folders", type=Path, nargs="+", default=[Path(tempfile.gettempdir())])
    request = parser.parse_args()
    return kills(request.count, random.Random(request.seed), request.folders)


def kills(count: int, draw: random.Random, folders: list[Path]) -> int:
    """0 where nothing was lost and all is equal."""
    found: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        rooms = [
            Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder))) for folder in folders
        ]
        kinds = {"run": LINE, "sweep": [*LINE, *SWEEP]}
        whole = {kind: rooms[0] / f"whole_{kind}" for kind in kinds}
        seconds = {kind: timed(line, whole[kind]) for kind, line in kinds.items()}
        print(f"undisturbed: {seconds}", flush=True)
        number = 0
        while found["kills"] < count:
            kind = draw.choice(list(kinds))
            target = rooms[number % len(rooms)] / f"{kind}{number}"
            number += 1
            found["histories"] += 1
            lines = count_lines(whole[kind])
            found["kills"] += disturbed(kinds[kind], target, lines, seconds[kind], draw)
            wrong = differences(whole[kind], target)
            found["lost or unequal"] += bool(wrong)
            for line in wrong:
                print(f"{target}: {line}", flush=True)
            print(dict(found), flush=True)
            if not wrong:
                shutil.rmtree(target)
    return int(found["lost or unequal"] > 0)


def timed(line: list[str], target: Path) -> float:
    started = time.monotonic()
    subprocess.run(command(line, target), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def disturbed(
    line: list[str], target: Path, lines: int, seconds: float, draw: random.Random
) -> int:
    """Kill at random moments, thrice on average, and let it end; how often it was killed."""
    times = 0
    while draw.random() < 0.75:
        process = subprocess.Popen(
            command(line, target), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # Most at a place in the record, since most of the time goes into the start.
        if draw.random() < 0.8:
            wait_for(process, target, draw.randrange(lines))
            time.sleep(draw.uniform(0, 0.1))
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(draw.uniform(0, seconds))
        if process.poll() is None:
            process.send_signal(signal.SIGTERM if draw.random() < 0.1 else signal.SIGKILL)
            times += 1
        process.wait()
    ended = subprocess.run(
        command(line, target), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if ended.returncode:
        print(ended.stdout, flush=True)
    return times


def wait_for(process: subprocess.Popen[bytes], target: Path, lines: int) -> None:
    """Until so many lines are on record, or the process has ended."""
    while process.poll() is None and count_lines(target) < lines:
        time.sleep(0.005)


def count_lines(target: Path) -> int:
    """The lines of all metrics.jsonl in a folder, which may be changing."""
    total = 0
    for path in target.rglob("metrics.jsonl"):
        with contextlib.suppress(OSError):
            total += path.read_bytes().count(b"\n")
    return total


def command(line: list[str], target: Path) -> list[str]:
    return [sys.executable, "-m", "moe_lab.train", *line, f"run_dir={target}", "resume=true"]


def differences(whole: Path, target: Path) -> list[str]:
    """What is not equal, in words."""
    runs = [path.parent.relative_to(whole) for path in sorted(whole.rglob("summary.json"))]
    wrong = []
    for run in runs:
        for name, read in READERS.items():
            expected = read(whole / run / name)
            try:
                if read(target / run / name) != expected:
                    wrong.append(f"{run / name} is not equal")
            except (OSError, ValueError, KeyError) as error:
                wrong.append(f"{run / name} is lost: {error}")
    return wrong


def without(content: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in names}


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [without(json.loads(line), TIMES) for line in path.read_text().splitlines()]


def read_summary(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text())
    assert content["train_seconds"] > 0
    return without(content, (*TIMES, *PLACES))


def read_weights(path: Path) -> dict[str, list[Any]]:
    state = torch.load(path, weights_only=True)["state_dict"]
    return {name: value.tolist() for name, value in state.items()}


READERS: dict[str, Callable[[Path], Any]] = {
    "metrics.jsonl": read_lines,
    "health.jsonl": read_lines,
    "summary.json": read_summary,
    "tables.json": lambda path: json.loads(path.read_text()),
    "checkpoints/best.ckpt": read_weights,
    "checkpoints/last.ckpt": read_weights,
}


if __name__ == "__main__":
    sys.exit(main())
