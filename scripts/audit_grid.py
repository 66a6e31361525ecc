"""Audits every composition of model, router, expert, combine rule and loss, and prints the counts.

    python scripts/audit_grid.py [--share 1.0] [--out grid.json] [--models sparse dense ...]

Compositions that resolve to the same settings are audited once. Sizes are small: the audit asks
whether a composition is sound, not how good it is. Takes an hour and a half of one core; --share
0.02 takes minutes. Models that the --out file already holds are not audited again.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import logging
import random
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import moe_lab  # noqa: F401  (first: it makes torchvision importable)

import torch  # isort: skip
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from moe_lab.analysis.audit import audit, compose_subject
from moe_lab.config.compose import assemble
from moe_lab.config.help import options
from moe_lab.errors import UserError

SMALL = ("dataset=synthetic", "dataset.size=[1,8,12]", "num_images=32")
GROUPS = ("router", "expert", "combine", "loss")


def fingerprint(config: DictConfig) -> str:
    """Equal for compositions that resolve to the same model and loss."""
    resolved = {key: OmegaConf.to_container(config[key], resolve=True) for key in ("model", "loss")}
    return hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()


def verdict_key(row: dict[str, str]) -> str | None:
    """The fingerprint of a recorded row; None where its parts do not compose."""
    chosen = {group: row[group] for group in GROUPS if group in row}
    try:
        return fingerprint(assemble(row["model"], chosen, SMALL))
    except Exception:
        return None


def judge(config: DictConfig) -> tuple[str, str]:
    """`sound`, `refused` or `failed`, and why."""
    try:
        verdicts = audit(compose_subject(config))
    except UserError as error:
        return "refused", getattr(error, "wrong", str(error))
    failed = [verdict for verdict in verdicts if verdict.passed is False]
    return ("failed", f"{failed[0].name}: {failed[0].detail}") if failed else ("sound", "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--share", type=float, default=1.0, help="audit a random part only")
    parser.add_argument("--out", type=Path, help="write every verdict to this JSON file")
    parser.add_argument("--models", nargs="+", default=options("model"), help="these alone")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_flush_denormal(True)
    started = time.perf_counter()
    rows = json.loads(arguments.out.read_text()) if arguments.out and arguments.out.exists() else []
    known = {key: (r["verdict"], r["why"]) for r in rows if (key := verdict_key(r)) is not None}
    there = {row["model"] for row in rows}
    for model in (model for model in arguments.models if model not in there):
        groups = [group for group in GROUPS if group in assemble(model, {}, SMALL)]
        names = list(itertools.product(*(options(group) for group in groups)))
        size = max(1, round(arguments.share * len(names)))
        sample = random.Random(0).sample(names, size)
        for combination in track(sample, description=model, transient=True):
            chosen = dict(zip(groups, combination, strict=True))
            config = assemble(model, chosen, SMALL)
            try:
                key = fingerprint(config)
            except Exception as error:
                verdict = ("refused", " ".join(str(error).split())[:120])
            else:
                verdict = known[key] if key in known else known.setdefault(key, judge(config))
            rows.append({"model": model, **chosen, "verdict": verdict[0], "why": verdict[1]})
        if arguments.out:
            arguments.out.write_text(json.dumps(rows, indent=1))
        seconds = time.perf_counter() - started
        print(f"{model}: {len(rows)} so far, {len(known)} distinct, {seconds:.0f} s", flush=True)
    return report(rows, len(known), time.perf_counter() - started)


def report(rows: list[dict[str, str]], distinct: int, seconds: float) -> int:
    """Counts a model, reasons for refusals, and failures by name; 1 if anything failed."""
    table = Table("model", "compositions", "sound", "refused", "failed", title="audit of the grid")
    for model in dict.fromkeys(row["model"] for row in rows):
        own = Counter(row["verdict"] for row in rows if row["model"] == model)
        counts = [own.total(), own["sound"], own["refused"], own["failed"]]
        table.add_row(model, *map(str, counts))
    total = Counter(row["verdict"] for row in rows)
    table.add_row(
        "all", *map(str, [total.total(), total["sound"], total["refused"], total["failed"]])
    )
    Console().print(table)
    print(f"{distinct} distinct compositions audited in {seconds:.0f} s")
    for why, count in Counter(r["why"] for r in rows if r["verdict"] == "refused").most_common(12):
        print(f"  refused {count:>5}: {why}")
    failures = [row for row in rows if row["verdict"] == "failed"]
    for row in failures[:40]:
        print("  FAILED", {key: value for key, value in row.items() if key != "verdict"})
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
