"""Whether an exported model says the same as the original, and how long both take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from torch import Tensor

from moe_lab.analysis.export.formats import Opened

BATCH_SIZES = (1, 7, 64)
TIMED_SIZES = (1, 64)


def compare(original: Opened, exported: Opened, images: Tensor, size: int) -> dict[str, Any]:
    """Largest differences and agreement over all images, in batches of a size."""
    differences, weights, top, routing, idle, batches = 0.0, 0.0, 0, 0, 0, 0
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        mine, theirs = original(batch), exported(batch)
        differences = max(differences, float(np.abs(mine[0] - theirs[0]).max()))
        same = np.ones(len(batch), bool)
        for own, other in zip(mine[1:], theirs[1:], strict=True):
            weights = max(weights, float(np.abs(own - other).max()))
            same &= ((own != 0) == (other != 0)).all(1)
        top += int((mine[0].argmax(1) == theirs[0].argmax(1)).sum())
        routing += int(same.sum())
        idle += any(bool((own == 0).all(0).any()) for own in mine[1:])
        batches += 1
    return {
        "batch_size": size,
        "batches": batches,
        "batches_with_an_idle_expert": idle,
        "max_difference": differences,
        "max_weight_difference": weights,
        "top_1_agreement": top / len(images),
        "routing_agreement": routing / len(images),
    }


def latencies(original: Opened, exported: Opened, images: Tensor, repeats: int) -> dict[str, Any]:
    """Median milliseconds of a batch, the two in turn."""
    found = {}
    for size in TIMED_SIZES:
        batch = images[:size]
        times: tuple[list[float], list[float]] = ([], [])
        for repeat in range(repeats + 2):
            for own, run in zip(times, (original, exported), strict=True):
                started = time.perf_counter()
                run(batch)
                if repeat >= 2:  # the first two warm up
                    own.append(1e3 * (time.perf_counter() - started))
        mine, theirs = (statistics.median(own) for own in times)
        found[str(size)] = {"torch_ms": mine, "exported_ms": theirs, "ratio": theirs / mine}
    return found


def has_parity(rows: Sequence[dict[str, Any]], tolerance: float) -> bool:
    """Whether no probability and no weight differs by more."""
    # Written so that NaN, which is not below anything, fails.
    return all(
        row["max_difference"] <= tolerance and row["max_weight_difference"] <= tolerance
        for row in rows
    )


def show(report: dict[str, Any]) -> None:
    """The table on the screen."""
    table = Table(title=f"{report['format']} against torch, {report['images']} images")
    for heading in ("batch", "max difference", "of weights", "top-1", "routing", "torch", "export"):
        table.add_column(heading, justify="right")
    for row in report["parity"]:
        timed = report["latency"].get(str(row["batch_size"]))
        times = [f"{timed[key]:.2f} ms" for key in ("torch_ms", "exported_ms")] if timed else []
        table.add_row(
            str(row["batch_size"]),
            f"{row['max_difference']:.1e}",
            f"{row['max_weight_difference']:.1e}",
            f"{row['top_1_agreement']:.1%}",
            f"{row['routing_agreement']:.1%}",
            *(times or ["", ""]),
        )
    Console().print(table)
    for layer, experts in report["experts_not_hit"].items():
        print(f"{layer}: no image was found that uses expert {', '.join(map(str, experts))}")
