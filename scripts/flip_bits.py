"""Flips bits of run files, and looks whether any of them changes a result without a word.

    python scripts/flip_bits.py --count 1000

A random bit of a random file of a finished or an interrupted run is flipped; then the run is
evaluated, reported, compared or gone on with. That must give the right result or say what is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from moe_lab.commands.compare import main as compare
from moe_lab.commands.eval import main as evaluate
from moe_lab.commands.report import main as report
from moe_lab.commands.train import main as train

LINE = [
    "dataset=synthetic", "dataset.source.num_train=300", "dataset.source.num_test=100",
    "trainer.max_epochs=4", "trainer.accelerator=cpu", "expert.hidden=16", "report=false",
    "callbacks.progress.style=none", "callbacks.health.every=2",
]  # fmt: skip
TIMES = ("train_seconds", "images_per_second")
# Words of the screens and lines that say that something is not as it should be.
MESSAGES = ("error", "is damaged", "cannot be read", "left out", "not to be relied on")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    request = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        found = flips(request.count, random.Random(request.seed), Path(room))
    print(dict(sorted(found.items())), flush=True)
    return int(found["WRONG"] > 0)


def flips(count: int, draw: random.Random, room: Path) -> Counter[str]:
    """How many flips left the result right, were said, or were WRONG: neither."""
    done, stopped = room / "done", room / "stopped"
    quietly(train, [*LINE, f"run_dir={done}"])
    kill_after_two_epochs(stopped)
    sources = dict.fromkeys(("eval", "report", "compare", "resume done"), done)
    sources["resume stopped"] = stopped
    right = {name: result_of(name, copied(source))[1] for name, source in sources.items()}
    found: Counter[str] = Counter()
    for _ in range(count):
        name = draw.choice(list(sources))
        run = copied(sources[name])
        place = flip(run, draw)
        said, result = result_of(name, run)
        kind = "right" if result == right[name] else "WRONG"
        if kind == "WRONG" and any(message in said for message in MESSAGES):
            kind = "said"
        if kind == "WRONG" or "Traceback" in said:
            print(f"{kind}: {name}, {place}\n{said}", flush=True)
        found[kind] += 1
        found[f"{kind}: {name}"] += 1
        found["Traceback"] += "Traceback" in said
        if sum(found[kind] for kind in ("right", "said", "WRONG")) % 50 == 0:
            print(dict(sorted(found.items())), flush=True)
    return found


def kill_after_two_epochs(run: Path) -> None:
    """A run that has the last checkpoint, and the one before it."""
    line = [sys.executable, "-m", "moe_lab.train", *LINE, f"run_dir={run}"]
    process = subprocess.Popen(
        [*line, "trainer.log_every_n_steps=1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (run / "checkpoints" / "last.previous.ckpt").is_file():
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()


def copied(source: Path) -> Path:
    """A copy that always lies in the same place, since results hold it."""
    target = source.parent / "copy"
    shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(source.parent / "out", ignore_errors=True)
    return Path(shutil.copytree(source, target))


def flip(run: Path, draw: random.Random) -> str:
    """Flip one bit of one file; which."""
    path = draw.choice([path for path in sorted(run.rglob("*")) if path.is_file()])
    place, bit = draw.randrange(path.stat().st_size), draw.randrange(8)
    with path.open("r+b") as file:
        file.seek(place)
        (before,) = file.read(1)
        file.seek(place)
        file.write(bytes([before ^ 1 << bit]))
    return f"{path.relative_to(run)}, byte {place}, bit {bit}"


def result_of(name: str, run: Path) -> tuple[str, Any]:
    """What was said, and what came out, without times; None where nothing did."""
    out = run.parent / "out"
    if name == "eval":
        code, said = quietly(evaluate, [f"run={run}", f"out={out}"])
        return said, read(out / "eval_test_best.json") if code == 0 else None
    if name == "report":
        code, said = quietly(report, [f"run={run}", f"out={out}"])
        return said, (out / "report.html").read_text() if code == 0 else None
    if name == "compare":
        code, said = quietly(compare, [str(run), f"out={out}"])
        return said, (out / "comparison.md").read_text() if code == 0 else None
    words = ["trainer.log_every_n_steps=1"] if name == "resume stopped" else []
    code, said = quietly(train, [*LINE, *words, f"run_dir={run}", "resume=true"])
    if code:
        return said, None
    # What is done is not read again, and so not its log.
    lines = [] if name == "resume done" else (run / "metrics.jsonl").read_bytes().splitlines()
    metrics = [line for line in lines if b"train_seconds" not in line]
    return said, (without_times(read(run / "summary.json")), metrics)


def quietly(command: Any, words: list[str]) -> tuple[int, str]:
    """The exit code of a command, and all that it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = command(words)
        except Exception as error:
            return 1, f"Traceback: {type(error).__name__}: {error}"
    return code, said.getvalue()


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def without_times(content: dict[str, Any]) -> dict[str, Any]:
    """And without the place, which a copy keeps of its source until it goes on."""
    return {key: value for key, value in content.items() if key not in (*TIMES, "run_dir")}


if __name__ == "__main__":
    sys.exit(main())
