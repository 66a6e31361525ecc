"""Several seeds at once leave what a run of each of them leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from moe_lab.train import main
from moe_lab.training.checkpoints import load, read_checkpoint
from moe_lab.training.run_directory import RunDirectory
from moe_lab.training.seeds import Outcome, train_together
from moe_lab.training.seeds import job as job_module
from moe_lab.training.seeds.speed import Speed

SMALL = [
    "dataset=synthetic",
    "dataset.source.num_train=300",
    "dataset.source.num_test=100",
    "dataset.batch_size=32",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=4",
    "trainer.accelerator=cpu",
    "callbacks.progress.style=none",
    "callbacks.health.every=4",
    "report=false",
]
DENSE = (
    "model=dense expert.hidden=16 trainer.gradient_clip_val=0.5 dataset.augment.shift=1 "
    "scheduler=warmup_cosine optimizer=adamw optimizer.weight_decay=0.5"
)
STANDARD = "model=standard model.num_experts=4 expert.hidden=16 dataset.augment.flip=true"
IWMN = "model=iwmn modulation.hidden=16 optimizer=sgd optimizer.lr=0.02"
SPARSE = (
    "model=sparse model.num_experts=4 router=top_k gate.init_std=0.2 expert.hidden=16 "
    "callbacks.checkpoint.monitor=val_loss scheduler=step"
)
UNLIKE = {"run_dir", "train_seconds", "images_per_second", "seeds_together"}


def together(typed: str, folder: Path, seeds: Sequence[int], slower: bool = True) -> Outcome:
    """Train several seeds at once, each in a folder of its number."""
    lines = [
        [*SMALL, *typed.split(), f"seed={seed}", f"run_dir={folder / str(seed)}"] for seed in seeds
    ]
    return train_together(lines, even_if_slower=slower)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def weights(folder: Path, name: str = "best") -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = read_checkpoint(RunDirectory(folder).checkpoint(name))[
        "state_dict"
    ]
    return found


@pytest.mark.parametrize("typed", [DENSE, STANDARD, IWMN, SPARSE])
def test_each_seed_comes_to_what_its_own_run_comes_to(typed: str, tmp_path: Path) -> None:
    seeds = (3, 0, 11)
    assert together(typed, tmp_path / "together", seeds).refused is None
    for seed in seeds:
        alone, shared = tmp_path / str(seed), tmp_path / "together" / str(seed)
        assert main([*SMALL, *typed.split(), f"seed={seed}", f"run_dir={alone}"]) == 0
        for name in ("best", "last"):
            expected = weights(alone, name)
            assert weights(shared, name).keys() == expected.keys()
            for key, value in weights(shared, name).items():
                # Adam's first steps hardly depend on the size of a gradient: rounding moves a
                # weight whose gradient is almost 0 by more than rounding.
                torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-4, msg=key)
        one, other = (
            read_checkpoint(folder / "checkpoints/best.ckpt") for folder in (shared, alone)
        )
        assert (one["epoch"], one["global_step"]) == (other["epoch"], other["global_step"])
        compare_records(shared, alone, seed)


def compare_records(shared: Path, alone: Path, seed: int) -> None:
    """The files of a run, by name, key and value."""
    names = {file.name for file in alone.iterdir()}
    assert {file.name for file in shared.iterdir()} == names
    summary, expected = (RunDirectory(folder).read_summary() for folder in (shared, alone))
    assert summary["seeds_together"] == 3
    assert summary.keys() == expected.keys() | {"seeds_together"}
    assert summary["test_accuracy"] == pytest.approx(expected["test_accuracy"], abs=1e-6)
    for key in expected.keys() - UNLIKE:
        value = expected[key]
        assert summary[key] == (
            pytest.approx(value, rel=1e-3, abs=1e-4) if isinstance(value, float) else value
        ), key
    for file in ("metrics.jsonl", "health.jsonl"):
        if file not in names:
            continue
        written, wanted = lines_of(shared / file), lines_of(alone / file)
        assert len(written) == len(wanted)
        for line, own in zip(written, wanted, strict=True):
            assert line.keys() == own.keys() | ({"seeds_together"} & line.keys())
            for key in own.keys() - UNLIKE:
                equal = (
                    own[key]
                    if isinstance(own[key], list | str | None)
                    else pytest.approx(own[key], rel=1e-3, abs=1e-4)
                )
                if key not in ("share", "load"):
                    assert line[key] == equal, (file, key)
    tables = [json.loads((folder / "tables.json").read_text()) for folder in (shared, alone)]
    assert tables[0]["confusion"] == tables[1]["confusion"]
    command = RunDirectory(shared).read_environment()["command"]
    assert f"seed={seed}" in command
    assert "epoch 2/2" in (shared / "train.log").read_text()


def test_a_seed_does_not_depend_on_the_seeds_beside_it(tmp_path: Path) -> None:
    typed = "model=dense expert.hidden=16 optimizer=sgd"
    together(typed, tmp_path / "two", (0, 1))
    together(typed, tmp_path / "three", (7, 8, 0))
    first, second = (weights(tmp_path / name / "0", "last") for name in ("two", "three"))
    other = weights(tmp_path / "two" / "1", "last")
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=1e-5, atol=1e-6)
    assert not torch.equal(other["model.experts.first.weight"], first["model.experts.first.weight"])


def test_what_is_left_is_read_as_any_run(tmp_path: Path) -> None:
    together(DENSE, tmp_path, (0, 1))
    classifier = load(tmp_path / "1", "last")
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    probs = classifier.predict(images)
    torch.testing.assert_close(probs.sum(1), torch.ones(2))
    # One seed's weights alone, not a view that drags those of the others along.
    sizes = [
        (tmp_path / "1/checkpoints" / f"{name}.ckpt").stat().st_size for name in ("best", "last")
    ]
    numbers = sum(parameter.numel() for parameter in classifier.parameters())
    assert max(sizes) < 4 * numbers + 20_000


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("model=dense expert.hidden=8 expert.dropout=0.1", "Dropout draws random numbers"),
        ("model=sparse expert.hidden=8 router=noisy_top_k", "NoisyTopKRouter draws random"),
        ("model=dense scheduler=plateau", "scheduler Plateau"),
        ("model=dense callbacks.ema.decay=0.9", "callback WeightAverage"),
        ("model=dense callbacks.early_stopping.patience=1", "callback Patience"),
        ("model=sparse router=top_k callbacks.collapse.action=reinit", "callback CollapseAlarm"),
        ("model=dense dataset.augment.mixup=0.2", "mixup"),
        ("model=dense trainer.accumulate_grad_batches=2", "trainer.accumulate_grad_batches=2"),
        ("model=dense trainer.limit_train_batches=1", "trainer.limit_train_batches=1"),
        ("model=dense trainer.precision=bf16-mixed", "trainer.precision=bf16-mixed"),
        ("model=dense compile=true", "compile=true"),
        ("model=dense optimizer=muon", "optimizer HiddenMuon"),
        ("model=dense logger=tensorboard", "logger.tensorboard"),
        ("model=sparse router=top_k expert=mlp_list expert.hidden=8", "has no gradient"),
    ],
)
def test_what_cannot_be_batched_is_refused_by_name(typed: str, named: str, tmp_path: Path) -> None:
    outcome = together(typed, tmp_path, (0, 1))
    assert outcome.refused is not None
    assert named in outcome.refused
    assert not (tmp_path / "0" / "summary.json").exists()


def test_nothing_is_trained_where_one_after_the_other_is_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = "model=dense expert.hidden=8"
    monkeypatch.setattr(job_module, "measure", lambda *_: Speed(together=0.002, alone=0.001))
    outcome = together(typed, tmp_path / "slow", (0, 1), slower=False)
    assert outcome.refused == (
        "together they would take 2.00 ms a step, 1.00 ms one after the other"
    )
    assert not list((tmp_path / "slow").rglob("summary.json"))
    monkeypatch.setattr(job_module, "measure", lambda *_: Speed(together=0.001, alone=0.002))
    assert together(typed, tmp_path / "fast", (0, 1), slower=False).refused is None
    assert len(list((tmp_path / "fast").rglob("summary.json"))) == 2


def test_a_loss_that_becomes_nan_is_left_to_a_run_of_its_own(tmp_path: Path) -> None:
    outcome = together("model=dense optimizer=sgd optimizer.lr=1e10", tmp_path, (0, 1))
    assert outcome.refused == "the training loss of seed 0 became NaN or infinite"
