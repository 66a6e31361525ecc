"""trainer=ddp: two processes that share each batch learn and report what one process does."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moe_lab.losses.whole_batch import whole_batch
from moe_lab.outputs import MixtureOutput, Routing
from moe_lab.train import main
from moe_lab.training.ranks import draw_apart

# 90 images to train in batches of 25: the last one has 15, so 8 and 7 for two processes.
SMALL = (
    "dataset=synthetic", "dataset.source.num_train=100", "dataset.source.num_test=101",
    "dataset.batch_size=25", "trainer.max_epochs=2", "trainer.accelerator=cpu", "report=false",
    "callbacks.progress.style=none",
    # Adam divides by the size of the gradient, which blows the rounding of a gradient of 0 up.
    "optimizer=sgd", "optimizer.lr=0.05",
)  # fmt: skip
RUNS = {
    "dense": ("model=dense", "expert.hidden=16"),
    # Whole-batch terms of every kind: of counts, of means, of pairs of images, of all answers.
    "balanced": (
        "model=sparse", "router=top_k", "expert.hidden=16", "loss=specialised",
        "loss.terms.switch_balance.weight=1", "loss.terms.gini.weight=0.1",
        "loss.terms.mutual_information.weight=0.1", "loss.terms.sample_similarity.weight=1",
        "loss.terms.orthogonality.weight=0.1",
    ),
    # Nothing may move an expert without images: not momentum, not weight decay.
    "idle": ("model=sparse", "router=top_k", "router.top_k=1", "expert=mlp_list"),
    "iwmn": ("model=iwmn",),
    "blocks": ("model=vit_moe", "model.depth=2"),
    # Two processes times two micro-batches: a bias that counts, and terms of the whole batch.
    "micro_batches": (
        "model=sparse", "router=sigmoid_balanced", "router.bias_rate=0.01", "expert.hidden=16",
        "loss.terms.switch_balance.weight=1", "loss.terms.load.weight=0.1",
        "loss.terms.mutual_information.weight=0.1", "dataset.batch_size=24",
    ),
    "noisy": ("model=sparse", "router=noisy_top_k", "expert.hidden=16"),
}  # fmt: skip
HALVED = ("dataset.batch_size=12", "trainer.accumulate_grad_batches=2")  # of "micro_batches"
NOT_COMPARED = ("train_seconds", "images_per_second")
WORKER = """
import json, os, sys
from moe_lab.train import main
first, *others = json.load(open("lines.json"))
code = main(first)
import torch
draws, original = [], torch.randn_like
def randn_like(tensor):
    draws.append(original(tensor))
    return draws[-1]
torch.randn_like = randn_like
for line in others:
    draws.clear()
    code = code or main(line)
torch.save(draws, f"draws{os.environ['RANK']}.pt")
sys.exit(code)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every run in two processes started by torchrun, in `two/NAME`."""
    folder = tmp_path_factory.mktemp("processes")
    lines = [
        [
            *SMALL,
            *words,
            *(HALVED if name == "micro_batches" else ()),
            "trainer=ddp",
            f"run_dir={folder}/two/{name}",
        ]
        for name, words in RUNS.items()
    ]
    (folder / "lines.json").write_text(json.dumps(lines))
    (folder / "worker.py").write_text(WORKER)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1",
         "--nproc-per-node=2", "worker.py"],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Warning" not in done.stderr
    return folder


def in_one_process(folder: Path, name: str) -> Path:
    """The same run in this process alone."""
    run = folder / "one" / name
    assert main([*SMALL, *RUNS[name], f"run_dir={run}"]) == 0
    return run


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def assert_close(found: Any, expected: Any, where: str) -> None:
    """Nested lists of numbers, equal but for the order of float32 sums."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_close(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for a, b in zip(found, expected, strict=True):
            assert_close(a, b, where)
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-5), (where, found, expected)
    else:
        assert found == expected, where


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RUNS if name != "noisy"])
def test_two_processes_equal_one(folder: Path, name: str) -> None:
    one, two = in_one_process(folder, name), folder / "two" / name
    summaries = [read(run / "summary.json") for run in (two, one)]
    numbers = [
        {k: v for k, v in s.items() if isinstance(v, float) and k not in NOT_COMPARED}
        for s in summaries
    ]
    assert {"test_accuracy", "test_loss", "val_accuracy", "val_loss", "f1"} <= numbers[1].keys()
    assert_close(*numbers, "summary")
    # Loads, information, confusion: whole tables, so that nothing is seen of half the images only.
    assert_close(read(two / "tables.json"), read(one / "tables.json"), "tables")
    weights = [
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in (two, one)
    ]
    for key, expected in weights[1].items():
        assert torch.allclose(weights[0][key], expected, rtol=1e-4, atol=1e-5), key
    logged = [of_epochs(run / "metrics.jsonl") for run in (two, one)]
    assert len(logged[1]) == 2
    assert_close(*logged, "metrics")


def of_epochs(path: Path) -> list[list[float]]:
    """Training loss and accuracy of each epoch."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        [ln["train_epoch_loss"], ln["train_accuracy"]] for ln in lines if "train_epoch_loss" in ln
    ]


@pytest.mark.slow
def test_each_process_draws_a_noise_of_its_own(folder: Path) -> None:
    first, second = (torch.load(folder / f"draws{rank}.pt", weights_only=True) for rank in (0, 1))
    assert [len(draw) for draw in first] == [13, 13, 13, 8] * 2
    assert [len(draw) for draw in second] == [12, 12, 12, 7] * 2
    pairs = torch.stack([torch.cat([draw[:7] for draw in draws]).flatten()
                         for draws in (first, second)])  # fmt: skip
    assert pairs.shape == (2, 8 * 7 * 8)
    # Independent draws of a normal distribution: the correlation of 448 pairs has spread 0.047.
    assert abs(float(torch.corrcoef(pairs)[0, 1])) < 0.2
    assert ((pairs.std(1) - 1).abs() < 0.2).all()
    assert not torch.equal(second[0], second[4])  # another one in another epoch
    assert read(folder / "two" / "noisy" / "summary.json")["status"] == "done"


def test_noise_is_a_function_of_seed_process_and_epoch() -> None:
    def draw(rank: int, seed: int, epoch: int) -> Tensor:
        torch.manual_seed(5)
        draw_apart(rank, seed, epoch)
        return torch.randn(4)

    assert torch.equal(draw(1, 0, 3), draw(1, 0, 3))
    others = [draw(1, 0, 4), draw(2, 0, 3), draw(1, 1, 3), draw(0, 0, 3)]
    assert not any(torch.equal(draw(1, 0, 3), other) for other in others)
    # The first process, and so a run of one, goes on with what the seed has given it.
    torch.manual_seed(5)
    assert torch.equal(draw(0, 0, 3), torch.manual_seed(5) and torch.randn(4))


def test_a_single_process_reads_its_output_as_it_is() -> None:
    routing = Routing(*torch.rand(3, 4, 2))
    output = MixtureOutput(torch.rand(4, 3), routing, features=torch.rand(4, 5))
    target = torch.tensor([0, 1, 2, 0])
    assert whole_batch(output, target, with_features=False) == (output, target)
