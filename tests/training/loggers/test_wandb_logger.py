"""W&B runs, read back from the files that the offline mode writes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_lab.metrics.registry import tag_of
from moe_lab.training.loggers.wandb import choose_mode, finish_run, wandb_logger
from moe_lab.training.sandbox import sandbox
from tests.training.loggers.offline_run import read_back

Train = Callable[..., tuple[int, Path]]
OFFLINE = ("logger=wandb", "logger.wandb.mode=offline")
FIGURES = {"confusion", "load", "class_share"}


@pytest.mark.slow
def test_each_job_of_a_sweep_is_a_run_of_its_own_in_one_group(train: Train) -> None:
    code, sweep = train(
        "-m", *OFFLINE, "optimizer.lr=1e-3,1e20", "trainer.max_epochs=2", "tags=[a,b]"
    )
    assert code == 1
    runs = [read_back(folder.parent) for folder in sweep.glob("*/wandb")]
    fine, failed = sorted(runs, key=lambda run: run.exit_code or 0)
    assert fine.id != failed.id
    assert fine.group == failed.group == sweep.name
    assert (fine.exit_code, failed.exit_code) == (0, 1)
    assert fine.name == "synthetic_sparse_seed0"
    assert fine.tags == ("a", "b")
    assert (fine.config["optimizer"]["lr"], failed.config["optimizer"]["lr"]) == (1e-3, 1e20)
    assert 0 <= fine.values("val/accuracy")[-1] <= 1
    assert 0 <= fine.values("test/accuracy")[-1] <= 1


def test_the_summary_keeps_the_best_and_the_last_value(tmp_path: Path) -> None:
    with sandbox():
        logger = wandb_logger(str(tmp_path), "moe_lab", "name", mode="offline")
        for step, (accuracy, loss) in enumerate([(0.5, 2.0), (0.9, 0.5), (0.7, 1.0)]):
            logger.log_metrics(
                {"val_accuracy": accuracy, "val_loss": loss, "val_load_cv": loss, "val_f1": loss},
                step,
            )
        finish_run(logger, 0)
    summary = read_back(tmp_path).summary
    assert summary["val/accuracy"] == {"max": 0.9, "last": 0.7}
    assert summary["val/loss"] == {"min": 0.5, "last": 1.0}
    assert summary["router/load_cv"] == {"max": 2.0, "last": 1.0}  # the worst, as load goes
    assert summary["val/f1"] == 1.0


def test_a_run_names_its_parts_its_results_and_what_it_cost(train: Train) -> None:
    _, folder = train(*OFFLINE, "trainer.max_epochs=2")
    run = read_back(folder)
    choices = run.config["choices"]
    assert (choices["model"], choices["router"]) == ("sparse", "noisy_top_k")
    assert len(run.values("val/accuracy")) == 3  # two epochs, and the best weights once more
    assert run.summary["val/accuracy"]["max"] == max(run.values("val/accuracy"))
    result = json.loads((folder / "summary.json").read_text())
    for name in ("test_accuracy", "params_active", "flops_per_image", "train_seconds"):
        assert run.summary[tag_of(name)] == pytest.approx(result[name]), name


@pytest.mark.slow
@pytest.mark.parametrize(("every", "validations"), [("test", 0), ("validation", 3)])
def test_figures_and_routing_table_are_there_once_an_evaluation(
    every: str, validations: int, train: Train
) -> None:
    _, folder = train(*OFFLINE, "trainer.max_epochs=2", f"callbacks.figures.every={every}")
    run = read_back(folder)
    images, tables = run.media("image-file"), run.media("table-file")
    times = {"test": 1} | ({"val": validations} if validations else {})
    expected = {f"{split}/{name}": count for split, count in times.items() for name in FIGURES}
    assert {name: len(logged) for name, logged in images.items()} == expected
    assert {name: len(logged) for name, logged in tables.items()} == {
        f"{split}/routing": count for split, count in times.items()
    }
    for logged in (*images.values(), *tables.values()):
        assert all((run.folder / entry["path"]).stat().st_size > 100 for entry in logged)


def test_the_routing_table_counts_every_test_image_once(train: Train) -> None:
    _, folder = train(*OFFLINE, "model=standard", "router=softmax", "model.num_experts=3")
    run = read_back(folder)
    ((entry,),) = run.media("table-file").values()
    table: dict[str, Any] = json.loads((run.folder / entry["path"]).read_text())
    assert table["columns"] == ["expert", "load", *map(str, range(10))]
    assert [row[0] for row in table["data"]] == ["0", "1", "2"]
    loads = [row[1] for row in table["data"]]
    summary = json.loads((folder / "summary.json").read_text())
    assert sum(loads) == pytest.approx(1)
    assert max(loads) == pytest.approx(summary["max_load_share"])
    counts = [row[2:] for row in table["data"]]
    assert [sum(column) for column in zip(*counts, strict=True)] == [10] * 10  # of 100 images


def test_nothing_is_written_outside_the_run_directory(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(home))
    _, folder = train(*OFFLINE, "debug=fast")
    assert read_back(folder).media("table-file").keys() == {"test/routing"}
    assert [path for path in home.rglob("*") if "artifacts" in path.parts] == []


def test_a_figure_that_cannot_be_kept_does_not_cost_the_result(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*arguments: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("moe_lab.training.loggers.wandb.WandbRun.log_drawings", full_disk)
    code, folder = train(*OFFLINE, "debug=fast")
    assert code == 0
    assert "no space left on device" in (folder / "train.log").read_text()
    assert json.loads((folder / "summary.json").read_text())["status"] == "done"


def test_the_mode_follows_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert choose_mode("auto") == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert choose_mode("auto") == "online"
    monkeypatch.delenv("WANDB_API_KEY")
    for host in ("api.wandb.ai", "api.forge.coreweave.com"):
        (tmp_path / "netrc").write_text(f"machine {host} login user password key\n")
        assert choose_mode("auto") == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org/")
    assert choose_mode("auto") == "offline"  # the key is for another server
    (tmp_path / "netrc").write_text("machine wandb.example.org login user password key\n")
    assert choose_mode("auto") == "online"
    assert choose_mode("offline") == "offline"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert choose_mode("auto") == "offline"


def test_only_the_first_process_of_several_keeps_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert choose_mode("online") == choose_mode("auto") == "disabled"


@pytest.mark.slow
def test_wandb_is_not_imported_unless_chosen(tmp_path: Path) -> None:
    code = (
        "import sys; from moe_lab.train import main; "
        "main(['experiment=smoke', 'debug=fast', 'run_dir=run']); assert 'wandb' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, timeout=120
    )
