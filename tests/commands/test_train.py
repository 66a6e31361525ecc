"""The training entry point: the documented commands, the record they leave, and how runs end."""

from __future__ import annotations

import json
import logging
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import moe_lab
from moe_lab.train import main
from tests.conftest import Train, Trained

ReadJSON = Callable[[Path], dict[str, Any]]
DESIGN_KEYS = {
    "status", "seed", "config_hash", "model", "dataset", "data_fingerprint", "epochs",
    "test_accuracy", "test_loss", "val_accuracy", "params_total", "params_active",
    "flops_per_image", "train_seconds", "images_per_second",
}  # fmt: skip
MIXTURE_KEYS = {
    "load_cv", "max_load_share", "dead_experts", "routing_entropy", "usage_entropy",
    "mutual_information", "mutual_information_p_value",
}  # fmt: skip
TIMINGS = {"train_seconds", "images_per_second", "run_dir"}


@pytest.mark.parametrize("model", ["dense", "standard", "sparse"])
def test_a_run_leaves_the_whole_record(model: str, train: Train, read_json: ReadJSON) -> None:
    code, run = train(f"model={model}", "report=true")
    assert code == 0
    names = {path.name for path in run.iterdir()}
    expected = {
        "checksums.json", "config.yaml", "environment.json", "metrics.jsonl", "summary.json",
        "tables.json", "train.log", "report.html", "checkpoints",
    }  # fmt: skip
    assert names - {"health.jsonl"} == expected
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    summary = read_json(run / "summary.json")
    assert summary.keys() >= DESIGN_KEYS
    assert (summary.keys() >= MIXTURE_KEYS) == (model != "dense")
    assert summary["status"] == "done"
    assert summary["model"] == model
    assert summary["dataset"] == "synthetic"
    assert "epoch 1/1" in (run / "train.log").read_text()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {"val_accuracy", "train_accuracy"} <= {key for line in lines for key in line}
    environment = read_json(run / "environment.json")
    assert environment["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert environment["data"]["fingerprint"] == summary["data_fingerprint"]


def test_costs_are_those_of_the_experts_in_use(train: Train, read_json: ReadJSON) -> None:
    _, run = train("model=sparse", "router.top_k=3", "router=top_k")
    summary = read_json(run / "summary.json")
    expert, gate = 784 * 16 + 16 + 16 * 10 + 10, 784 * 8
    assert summary["params_total"] == 8 * expert + gate
    assert summary["params_active"] == 3 * expert + gate
    assert summary["flops_per_image"] == 2 * (3 * (784 * 16 + 16 * 10) + gate)
    assert summary["experts_per_image"] == 3.0


def test_a_sweep_runs_each_combination_in_its_own_folder(
    train: Train, read_json: ReadJSON, capsys: pytest.CaptureFixture[str]
) -> None:
    code, sweep = train("-m", "model=dense,sparse", "seed=0,1")
    assert code == 0
    jobs = read_json(sweep / "sweep.json")["jobs"]
    summaries = [read_json(sweep / job["folder"] / "summary.json") for job in jobs]
    assert [(s["model"], s["seed"]) for s in summaries] == [
        (model, seed) for model in ("dense", "sparse") for seed in (0, 1)
    ]
    hashes = [s["config_hash"] for s in summaries]
    assert hashes[0] == hashes[1] != hashes[2]
    assert capsys.readouterr().out.count("seed=1 ") >= 2


def test_one_failing_job_does_not_stop_a_sweep(train: Train, read_json: ReadJSON) -> None:
    code, sweep = train("-m", "optimizer.lr=1e20,1e-3", "trainer.max_epochs=2")
    assert code == 1
    jobs = read_json(sweep / "sweep.json")["jobs"]
    failed, fine = (read_json(sweep / job["folder"] / "summary.json") for job in jobs)
    assert failed["status"] == "failed"
    assert "became NaN or infinite" in failed["error"]
    assert fine["status"] == "done"


def test_experiment_and_debug_presets_run(train: Train, read_json: ReadJSON) -> None:
    code, run = train("experiment=smoke", "debug=fast", small=False)
    summary = read_json(run / "summary.json")
    assert (code, summary["epochs"], summary["dataset"]) == (0, 1, "synthetic")


def test_colour_pictures_through_a_convolutional_backbone(train: Train) -> None:
    code, _ = train(
        "backbone=conv", "backbone.channels=[4,8]", "dataset.size=[3,32,32]", "debug=fast"
    )
    assert code == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_training_on_a_gpu(precision: str, train: Train, read_json: ReadJSON) -> None:
    code, run = train("trainer=gpu", "trainer.accelerator=gpu", f"trainer.precision={precision}")
    assert code == 0
    assert read_json(run / "environment.json")["hardware"]["gpus"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_trainer_gpu_says_what_to_use(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = train("model=standard", "dataset=cifar10", "trainer=gpu", "dataset=synthetic",
                    small=False)  # fmt: skip
    assert code == 2
    assert "use trainer=cpu or trainer=auto" in capsys.readouterr().err


def test_mixed_precision_trains_and_keeps_routing_in_float32(
    train: Train, read_json: ReadJSON
) -> None:
    code, run = train("trainer.precision=bf16-mixed")
    assert code == 0
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    [("adam", "constant"), ("sgd", "step"), ("adam", "exponential"), ("sgd", "plateau")],
)
def test_optimizers_train_with_schedules(optimizer: str, scheduler: str, train: Train) -> None:
    code, _ = train(f"optimizer={optimizer}", f"scheduler={scheduler}", "debug=fast")
    assert code == 0


def metrics_of(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key not in TIMINGS}


def test_the_same_seed_gives_the_same_summary_to_the_last_bit(
    train: Train, read_json: ReadJSON
) -> None:
    runs = [train("dataset.augment.shift=2", "expert.dropout=0.2")[1] for _ in range(2)]
    first, second = (metrics_of(read_json(run / "summary.json")) for run in runs)
    assert first == second
    _, other = train("dataset.augment.shift=2", "expert.dropout=0.2", "seed=1")
    assert read_json(other / "summary.json")["test_loss"] != first["test_loss"]


def test_a_job_after_another_equals_the_job_alone(train: Train, read_json: ReadJSON) -> None:
    _, alone = train("seed=3", "trainer.deterministic=false")
    train("seed=9", "trainer.deterministic=true", "model=standard", "trainer.precision=bf16-mixed")
    assert not torch.are_deterministic_algorithms_enabled()
    _, after = train("seed=3", "trainer.deterministic=false")
    assert metrics_of(read_json(after / "summary.json")) == metrics_of(
        read_json(alone / "summary.json")
    )


def test_permuting_test_labels_does_not_move_predictions(trained_once: Trained) -> None:
    classifier = moe_lab.load(trained_once())
    images = torch.randn(50, 1, 28, 28)
    before = classifier(images).log_probs
    labels = torch.randint(0, 10, (50,))
    classifier._evaluate((images, labels))
    classifier._evaluate((images, labels.flip(0)))
    assert torch.equal(classifier(images).log_probs, before)


def test_load_gives_back_the_model_that_was_tested(
    trained_once: Trained, read_json: ReadJSON
) -> None:
    from moe_lab.data import SyntheticSource

    run = trained_once("trainer.max_epochs=2")
    classifier = moe_lab.load(run)
    sets = SyntheticSource(300, 100, (1, 28, 28), 10, 0.2, 0).load()
    probs = classifier.predict(sets.test_images)
    assert not classifier.training
    torch.testing.assert_close(probs.sum(-1), torch.ones(100))
    for images in (sets.test_images, sets.test_images / 255):  # whole numbers, and floats
        accuracy = (classifier.predict(images).argmax(-1) == sets.test_labels).float().mean()
        assert float(accuracy) == pytest.approx(read_json(run / "summary.json")["test_accuracy"])


def test_every_checkpoint_loads_with_weights_only(trained_once: Trained) -> None:
    run = trained_once()
    for name in ("best", "last"):
        content = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert content["moe_lab_config"]["model"]["num_experts"] == 8


def test_overfitting_one_batch_reaches_every_image(train: Train, read_json: ReadJSON) -> None:
    _, run = train("debug=overfit", "dataset.batch_size=32", "trainer.max_epochs=60",
                   "expert.hidden=64", "router=top_k")  # fmt: skip
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["train_accuracy"] for line in lines if "train_accuracy" in line][-1] == 1.0


def test_early_stopping_ends_a_run_that_no_longer_improves(
    train: Train, read_json: ReadJSON
) -> None:
    _, run = train("callbacks.early_stopping.patience=1", "trainer.max_epochs=50",
                   "optimizer.lr=1e-9", "callbacks.early_stopping.min_delta=0.1")  # fmt: skip
    assert read_json(run / "summary.json")["epochs"] == 2


def test_tensorboard_gets_the_numbers_of_the_run(train: Train) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, run = train("logger=tensorboard")
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    expected = next(line["val_loss"] for line in lines if "val_loss" in line)
    assert events.Scalars("val/loss")[0].value == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_what_was_reached(
    number: signal.Signals, code: int, tmp_path: Path, read_json: ReadJSON
) -> None:
    run = tmp_path / "run"
    command = [
        sys.executable, "-m", "moe_lab.train", "dataset=synthetic", "trainer.max_epochs=100000",
        f"run_dir={run}", "trainer.accelerator=cpu", "-m", "seed=0,1",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not any("val_loss" in path.read_text() for path in run.glob("*_seed0/metrics.jsonl")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    (job,) = run.glob("*_seed0")
    summary = read_json(job / "summary.json")
    assert summary["status"] == "interrupted"
    assert summary["epochs"] >= 1
    assert math.isfinite(summary["val_accuracy"])
    assert "test_accuracy" not in summary
    assert not list(run.glob("*_seed1"))


def test_an_unforeseen_failure_leaves_its_traceback_in_the_log_and_says_how_to_go_on(
    train: Train, read_json: ReadJSON, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("for the test")

    monkeypatch.setattr("moe_lab.losses.cross_entropy.CrossEntropy.__call__", broken)
    code, run = train()
    assert code == 1
    shown = capsys.readouterr()
    assert "ZeroDivisionError: for the test" in (run / "train.log").read_text()
    assert read_json(run / "summary.json")["status"] == "failed"
    assert "Traceback" not in shown.err
    line = shown.out.split("to go on, once that is mended:\n  ")[1].strip()
    assert line.endswith(f"run_dir={run.name} resume=true")
    monkeypatch.undo()
    monkeypatch.chdir(run.parent)
    assert main(shlex.split(line)[4:]) == 0
    assert read_json(run / "summary.json")["status"] == "done"


def test_the_log_of_one_run_does_not_reach_the_next(train: Train) -> None:
    _, first = train()
    size = (first / "train.log").stat().st_size
    train()
    logging.getLogger("moe_lab").warning("after both")
    assert (first / "train.log").stat().st_size == size


@pytest.mark.slow
def test_mnist_falls_back_to_the_installed_digits_and_says_so(
    train: Train, read_json: ReadJSON, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, run = train(f"dataset.root={tmp_path}", "dataset.download=false", "trainer.max_epochs=8",
                      small=False)  # fmt: skip
    assert code == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("data: ")]
    assert len(lines) == 1
    assert "using dataset=mnist_5k instead" in lines[0]
    summary = read_json(run / "summary.json")
    assert summary["dataset"] == "mnist_5k"
    assert summary["choices"]["dataset_requested"] == "mnist"
    assert summary["test_accuracy"] > 0.88


def test_without_a_fallback_missing_data_is_an_error_that_tells_how_to_get_it(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = train(f"dataset.root={tmp_path}", "dataset.download=false", "dataset.fallback=null",
                    small=False)  # fmt: skip
    error = capsys.readouterr().err
    assert code == 1
    assert "MNIST" in error
    assert "dataset.root" in error


@pytest.mark.parametrize("damage", ["truncated", "html page", "empty"])
def test_a_damaged_data_file_is_named_and_nothing_is_trained(
    damage: str, train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in (("train", 60000), ("t10k", 10000)):
        header = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (count, 28, 28))
        content = {"truncated": header + b"\0" * 99, "html page": b"<html>", "empty": b""}[damage]
        (raw / f"{name}-images-idx3-ubyte").write_bytes(content)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(b"\x00\x00\x08\x01" + b"\0" * 4)
    code, run = train("dataset=mnist", f"dataset.root={tmp_path}", small=False)
    error = capsys.readouterr().err
    assert code == 1
    assert "idx" in error
    assert "Traceback" not in error
    assert not (run / "checkpoints").exists()


def test_hydra_options_still_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cfg", "job", "model=dense"]) == 0
    assert "_target_: moe_lab.models.Single" in capsys.readouterr().out
