"""Time the sparse layer against a dense network of the same active FLOPs, forward and backward.

    python scripts/bench/sparse_layer.py                       # 8192 rows, 2 of 64 experts
    python scripts/bench/sparse_layer.py --sizes small         # the sizes of the default models
    python scripts/bench/sparse_layer.py --assert-ratio 1.4    # exit 1 when slower than that

Contenders take turns within every round, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from moe_lab.dispatch import Plan
from moe_lab.experts import ExpertList, MLPExperts, mlp_expert_list


@dataclass(frozen=True)
class Size:
    """One setting: B rows, D features in, H hidden, out, E experts, k used."""

    rows: int
    in_features: int
    hidden: int
    out_features: int
    num_experts: int
    k: int

    def __str__(self) -> str:
        return (
            f"{self.rows} rows, {self.in_features} -> {self.hidden} -> {self.out_features}, "
            f"{self.k} of {self.num_experts} experts"
        )


SIZES = {
    "default": [Size(8192, 256, 512, 256, 64, 2)],
    "small": [Size(128, 784, 128, 10, 8, 2), Size(128, 784, 256, 10, 8, 2)],
}
PATIENCE = 5.0  # seconds; a contender that has used up more sits out the remaining rounds
OURS, DENSE = "sparse layer", "dense, same active FLOPs"


def route(size: Size) -> Tensor:
    """The k largest of a random softmax. [B, E]"""
    probs = torch.randn(size.rows, size.num_experts).softmax(1)
    top = probs.topk(size.k, dim=1)
    return torch.zeros_like(probs).scatter_(1, top.indices, top.values)


def contenders(size: Size) -> dict[str, Callable[[], None]]:
    """One closure per contender; each does a forward and a backward pass."""
    features = torch.randn(size.rows, size.in_features, requires_grad=True)
    weights = route(size).requires_grad_()
    grad = torch.randn(size.rows, size.out_features)
    shape = (size.num_experts, size.in_features, size.hidden, size.out_features)
    bank, separate = MLPExperts(*shape), mlp_expert_list(*shape)
    width = size.k * size.hidden
    dense = nn.Sequential(
        nn.Linear(size.in_features, width), nn.ReLU(), nn.Linear(width, size.out_features)
    )

    def step(module: nn.Module, answer: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            module.zero_grad()
            features.grad = weights.grad = None
            answer().backward(grad)

        return run

    return {
        OURS: step(bank, lambda: sparse_layer(bank, features, weights)),
        DENSE: step(dense, lambda: dense(features)),
        "loop over modules": step(separate, lambda: module_loop(separate, features, weights)),
        "all experts, masked": step(bank, lambda: all_experts(bank, features, weights)),
    }


def sparse_layer(bank: MLPExperts, features: Tensor, weights: Tensor) -> Tensor:
    """What a mixture does. [B, D], [B, E] -> [B, out]"""
    plan = Plan.from_weights(weights)
    return plan.mix(bank(features, plan))


def module_loop(separate: ExpertList, features: Tensor, weights: Tensor) -> Tensor:
    """The usual loop: find the rows, call the module, add. [B, D], [B, E] -> [B, out]"""
    out = features.new_zeros(len(features), separate.out_features)
    for index, expert in enumerate(separate.experts):
        rows = torch.where(weights[:, index] != 0)[0]
        out.index_add_(0, rows, expert(features[rows]) * weights[rows, index, None])
    return out


def all_experts(bank: MLPExperts, features: Tensor, weights: Tensor) -> Tensor:
    """Every expert on every row, zeros included. [B, D], [B, E] -> [B, out]"""
    plan = Plan.every(*weights.shape)
    return plan.combine(bank(features, plan) * weights.t().reshape(-1, 1))


def measure(
    runs: dict[str, Callable[[], None]], rounds: int, warmup: int = 2
) -> dict[str, list[float]]:
    """Seconds of each contender in every one of its interleaved rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for current in range(warmup + rounds):
        for name, run in runs.items():
            if sum(seconds[name]) > PATIENCE:
                continue
            start = time.perf_counter()
            run()
            if current >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def show(size: Size, measured: dict[str, list[float]]) -> None:
    # The best round next to the median: far apart, they say that the machine was busy.
    table = Table(title=str(size))
    for column in ("contender", "median ms", "best ms", "median ratio", "best ratio"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    median, best = statistics.median(measured[DENSE]), min(measured[DENSE])
    for name, seconds in measured.items():
        ours, ours_best = statistics.median(seconds), min(seconds)
        times = f"{ours * 1e3:.3f}", f"{ours_best * 1e3:.3f}"
        table.add_row(name, *times, f"{ours / median:.2f}", f"{ours_best / best:.2f}")
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", choices=SIZES, default="default")
    parser.add_argument("--rounds", type=int, default=None, help="15, or 200 for small sizes")
    parser.add_argument("--assert-ratio", type=float, default=None, metavar="RATIO")
    options = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    worst = 0.0
    for size in SIZES[options.sizes]:
        rounds = options.rounds or (15 if options.sizes == "default" else 200)
        measured = measure(contenders(size), rounds)
        show(size, measured)
        medians = {name: statistics.median(seconds) for name, seconds in measured.items()}
        worst = max(worst, medians[OURS] / medians[DENSE])
    if options.assert_ratio is not None and worst > options.assert_ratio:
        print(f"sparse / dense is {worst:.2f}, over {options.assert_ratio}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
