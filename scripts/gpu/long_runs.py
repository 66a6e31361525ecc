"""The runs that a CPU cannot do in reasonable time, in parts of at most ten minutes.

    python scripts/gpu/long_runs.py list
    python scripts/gpu/long_runs.py modular_cifar10 --cifar10 FOLDER
    python scripts/gpu/long_runs.py all --minutes 10

The same line again goes on where the last one stopped: runs that are done are skipped, and one that
was stopped resumes. Without --cifar10, a folder train|test/<class>/* of pictures, the official
files are used. The table at the end is of all runs that are done.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

OUT = Path("outputs/long_runs")
STOPPED = (130, 143)


@dataclass(frozen=True)
class LongRun:
    """One configuration, of several seeds."""

    overrides: tuple[str, ...]
    seeds: int = 3
    on_cifar10: bool = True


# Of the same FLOPs: one head of 264 units for a router and two experts of 128.
BASELINE = ("experiment=cifar10_best", "model=dense", "loss=task", "expert.hidden=264")
PARTS: dict[str, dict[str, LongRun]] = {
    "cifar10_best": {
        "mixture": LongRun(("experiment=cifar10_best",)),
        "dense": LongRun(BASELINE),
    },
    "modular_cifar10": {
        "gate": LongRun(("experiment=modular_cifar10",)),
        "attentive": LongRun(("experiment=modular_cifar10_attentive",)),
    },
    "modular_mnist10": {
        "ours": LongRun(("experiment=modular_mnist10",), 5, on_cifar10=False),
        "published": LongRun(("experiment=seed_003",), 5, on_cifar10=False),
    },
    "se_moe": {"cifar10": LongRun(("experiment=se_moe", "dataset.batch_size=256"), 1)},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=["list", "all", *PARTS])
    parser.add_argument("overrides", nargs="*", help="for all runs, such as trainer.max_epochs=5")
    parser.add_argument("--minutes", type=float, default=10.0, help="then stop, to go on later")
    parser.add_argument("--cifar10", type=Path, help="folder of pictures instead of the files")
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_intermixed_args()
    if chosen.part == "list":
        for part, runs in PARTS.items():
            print(f"{part}: {', '.join(f'{name} x {run.seeds}' for name, run in runs.items())}")
        return 0
    deadline = time.monotonic() + 60 * chosen.minutes
    code = 0
    for part in PARTS if chosen.part == "all" else [chosen.part]:
        for name, run in PARTS[part].items():
            for seed in range(run.seeds):
                folder = chosen.out / part / name / f"seed{seed}"
                words = [*run.overrides, *data(run, chosen.cifar10), *chosen.overrides]
                ended = train([*words, f"seed={seed}"], folder, deadline)
                if ended in STOPPED:
                    print("time is up: the same command goes on from here")
                    show(chosen.out)
                    return 0
                code = code or ended
    show(chosen.out)
    return code


def data(run: LongRun, cifar10: Path | None) -> list[str]:
    """What makes a run read pictures from a folder."""
    if cifar10 is None or not run.on_cifar10:
        return []
    return ["dataset=image_folder", f"dataset.root={cifar10}"]


def train(words: list[str], folder: Path, deadline: float) -> int:
    """The exit code of one run, which is skipped if it is done; SIGTERM at the deadline makes it
    write what it has.
    """
    if read(folder).get("status") == "done":
        return 0
    line = [sys.executable, "-m", "moe_lab.train", *words, f"run_dir={folder}", "resume=true"]
    print(" ".join(line[1:]), flush=True)
    process = subprocess.Popen([*line, "callbacks.progress.style=none"])
    try:
        return process.wait(max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait()
        return 143
    except KeyboardInterrupt:
        process.wait()
        return 130


def read(folder: Path) -> dict[str, object]:
    path = folder / "summary.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def show(out: Path) -> None:
    """One line a finished run."""
    for path in sorted(out.rglob("summary.json")):
        found = read(path.parent)
        if found.get("status") == "done":
            accuracy, seconds = found["test_accuracy"], found["train_seconds"]
            print(f"{path.parent.relative_to(out)}: {100 * float(str(accuracy)):.2f} % in "
                  f"{float(str(seconds)):.0f} s, {found['data_copy']}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
