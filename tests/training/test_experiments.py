"""Every experiment trains, on a CPU and with a few images of its own size."""

from __future__ import annotations

import json

import pytest

from moe_lab.config.check import check_overrides
from moe_lab.config.help import options
from moe_lab.config.resolvers import register_resolvers
from tests.conftest import Train

pytestmark = pytest.mark.slow

FEW = (
    "dataset=synthetic", "dataset.source.num_train=60", "dataset.source.num_test=20",
    "dataset.val_fraction=0.2", "dataset.batch_size=16", "dataset.eval_batch_size=20",
    "dataset.subset=null", "dataset.classes=null", "dataset.imbalance=null",
    "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.accelerator=cpu",
    "report=false",
)  # fmt: skip


@pytest.mark.parametrize("experiment", options("experiment"))
def test_an_experiment_trains(experiment: str, train: Train) -> None:
    register_resolvers()
    wanted = check_overrides("train", [f"experiment={experiment}"], multirun=False)
    shape = json.dumps(list(wanted.dataset.shape)).replace(" ", "")
    code, run = train(f"experiment={experiment}", *FEW, f"dataset.size={shape}", small=False)
    assert code == 0
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "done"
    assert 0 <= summary["test_accuracy"] <= 1


def test_the_tiny_experts_have_the_published_sizes(train: Train) -> None:
    for experiment, size, params in (
        ("modular_mnist10", "[1,28,28]", 40_048),
        ("seed_003", "[1,28,28]", 40_048),
        ("modular_cifar10", "[3,32,32]", 1_607_726),
        # A query of 32 numbers in place of ten scores, and keys of ten.
        ("modular_cifar10_attentive", "[3,32,32]", 1_607_726 + 22 * (32 + 1) + 32 * 10),
    ):
        _, run = train(f"experiment={experiment}", *FEW, f"dataset.size={size}", small=False)
        assert json.loads((run / "summary.json").read_text())["params_total"] == params
