"""Searches: what they end with, what they never see, and how they go on."""

from __future__ import annotations

import json
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

from moe_lab.commands.compare import main as compare_main
from moe_lab.commands.sweep import main as sweep_main
from moe_lab.data import ImageData
from moe_lab.errors import ConfigError, UserError
from moe_lab.sweeps.search.database import settle_place, without_password
from moe_lab.sweeps.search.storage import open_study
from moe_lab.train import main as train_main

pytest.importorskip("optuna")
Train = Callable[..., tuple[int, Path]]
SEARCH = (
    "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "dataset.source.noise=1.2",
    "callbacks=minimal", "callbacks.progress.style=none",
)  # fmt: skip
RATES = "optimizer.lr=tag(log,interval(1e-4,1e-2))"
HOPELESS = "optimizer.lr=tag(log,interval(1e-9,1e-8))"
LONG = (
    *SEARCH, RATES, "dataset=synthetic", "dataset.source.num_train=600", "expert.hidden=16",
    "report=false", "trainer.accelerator=cpu", "trainer.max_epochs=12",
    "hydra.sweeper.pruner.n_startup_trials=9",
)  # fmt: skip
NOT_COMPARED = {"train_seconds", "images_per_second", "run_dir"}
EXPLODING = "optimizer.lr=tag(log,interval(1e18,1e20))"


def summaries(search: Path) -> list[dict[str, Any]]:
    """The summaries of a search's trials in their order."""
    jobs = json.loads((search / "sweep.json").read_text())["jobs"]
    paths = [search / job["folder"] / "summary.json" for job in jobs]
    return [json.loads(path.read_text()) for path in paths if path.is_file()]


def command_in(out: str) -> list[str]:
    (line,) = [line for line in out.splitlines() if line.startswith("to train and test it: ")]
    return shlex.split(line.partition(": ")[2])[3:]


def test_a_search_ends_with_its_best_trial_and_the_command_that_trains_it(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    code, search = train(*SEARCH, "optimizer.lr=tag(log,interval(1e-3,1e-1))")
    out = capsys.readouterr().out
    assert code == 0
    found = summaries(search)
    assert [s["status"] for s in found] == ["done"] * 3
    accuracies = [s["val_accuracy"] for s in found]
    best = accuracies.index(max(accuracies))
    assert best > 0, "the data of this test must leave something to find"
    gain = 100 * (accuracies[best] - accuracies[0])
    assert f"best: trial {best}, {100 * accuracies[best]:.2f} % on the validation images" in out
    assert f"{gain:.2f} points above the default ({100 * accuracies[0]:.2f} %)" in out
    assert "with 1 times its FLOPs" in out  # only the learning rate was searched
    assert "3 of 3 trials: 3 done" in out
    # Trial 0 is what an ordinary command without ranges trains, the best is what it says it is.
    words = command_in(out)
    _, again = train(*words, small=False)
    summary = json.loads((again / "summary.json").read_text())
    assert summary["config_hash"] == found[best]["config_hash"]
    assert summary["val_accuracy"] == accuracies[best]
    assert "test_accuracy" in summary
    _, plain = train(*[w for w in words if not w.startswith("optimizer.lr=")], small=False)
    default = json.loads((plain / "summary.json").read_text())
    assert default["config_hash"] == found[0]["config_hash"]
    assert default["val_accuracy"] == accuracies[0]


@pytest.mark.slow
def test_a_search_goes_on_to_more_trials_and_never_reads_the_test_images(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    guard_test_images(monkeypatch)
    assert train(*SEARCH, RATES, "hydra.sweeper.n_trials=2", "run_dir=more")[0] == 0
    search = Path("more")
    before = {p: p.stat().st_mtime_ns for p in search.glob("*/summary.json")}
    assert len(before) == 2
    assert train(*SEARCH, RATES, "run_dir=more")[0] == 0
    assert "3 of 3 trials: 3 done" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in before} == before
    found = summaries(search)
    assert len(found) == 3
    assert not [key for s in found for key in s if "test" in key]
    assert list(search.glob("*/tables.json")) == []
    assert "test_" not in "".join(p.read_text() for p in search.glob("*/metrics.jsonl"))
    assert compare_main([str(search)]) != 0
    assert "it was not tested" in "".join(capsys.readouterr())
    for words in ((HOPELESS,), (RATES, "seed=1")):
        assert train(*SEARCH, *words, "run_dir=more")[0] == 2
        assert "the search in" in capsys.readouterr().err
    assert train("-m", "seed=0,1", "run_dir=more")[0] == 2
    assert "holds a search" in capsys.readouterr().err


def guard_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything fail that asks for a loader of the test images."""
    original = ImageData.loader

    def loader(self: ImageData, split: str, *rest: Any, **options: Any) -> Any:
        assert split != "test"
        return original(self, split, *rest, **options)

    def test_dataloader(self: ImageData) -> Any:
        raise AssertionError("the test images were asked for")

    monkeypatch.setattr(ImageData, "loader", loader)
    monkeypatch.setattr(ImageData, "test_dataloader", test_dataloader)


@pytest.mark.slow
def test_trials_that_are_certain_to_be_worse_are_pruned(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    eager = ("hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.pruner.n_warmup_steps=0")
    easy = ("dataset.source.noise=0.2", "dataset.batch_size=16", "trainer.max_epochs=4")
    code, search = train(*SEARCH, HOPELESS, *eager, *easy)
    assert code == 0
    found = summaries(search)
    assert [s["status"] for s in found] == ["done", "pruned", "pruned"]
    assert [s["epochs"] for s in found] == [4, 1, 1]
    assert "1 done, 2 pruned" in capsys.readouterr().out
    assert sweep_main(["status", str(search)]) == 0
    assert "no trial is better than the default" in capsys.readouterr().out


@pytest.mark.slow
def test_failing_trials_are_recorded_and_stop_no_other(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    line = (*SEARCH, EXPLODING, "dataset.batch_size=choice(32,64)")
    code, search = train(*line)
    assert code == 1
    out = capsys.readouterr().out
    assert "3 of 3 trials: 1 done, 2 failed" in out
    assert "became NaN" in " ".join(out.split())
    assert [s["status"] for s in summaries(search)] == ["done", "failed", "failed"]
    assert train(*line, f"run_dir={search}")[0] == 1  # nothing is left to do
    assert "3 of 3 trials: 1 done, 2 failed" in capsys.readouterr().out


@pytest.mark.slow
def test_values_that_do_not_fit_together_fail_before_they_cost_anything(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    code, search = train(
        *SEARCH, "router=choice(noisy_top_k,softmax)", "router.top_k=range(1,5)",
        "hydra.sweeper.n_trials=5",
    )  # fmt: skip
    assert code == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "5 of 5 trials: " in out
    assert "failed" in out
    found = summaries(search)
    assert {s["choices"]["router"] for s in found} == {"noisy_top_k"}
    assert 1 < len(found) < 5


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The summaries of LONG."""
    search = tmp_path_factory.mktemp("whole")
    assert train_main([*LONG, f"run_dir={search}"]) == 0
    return summaries(search)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "storage"),
    [
        (signal.SIGKILL, -9, "sqlite"),
        (signal.SIGTERM, 143, "sqlite"),
        (signal.SIGKILL, -9, "journal"),
    ],
)
def test_a_search_that_was_ended_goes_on_as_if_it_had_not_been(
    number: signal.Signals, code: int, storage: str, tmp_path: Path, train: Train,
    uninterrupted: list[dict[str, Any]], capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    search = tmp_path / "stopped"
    line = (*LONG, "run_dir=stopped", f"hydra.sweeper.storage={storage}")
    process = subprocess.Popen(
        [sys.executable, "-m", "moe_lab.train", *line],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not is_in_second_trial(search):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if storage == "journal":  # a second process at the same time has no part in it
        assert train(*line, small=False)[0] == 2
        assert "another process is at work on the search" in capsys.readouterr().err
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code, said
    (done,) = [p for p in search.glob("*/summary.json") if "interrupted" not in p.read_text()]
    before = done.stat().st_mtime_ns
    assert sweep_main(["status", str(search)]) == 1
    assert "2 of 3 trials: 1 done, 1 interrupted" in capsys.readouterr().out
    assert train(*line, small=False)[0] == 0
    out = capsys.readouterr().out
    assert "3 of 3 trials: 3 done" in out
    assert done.stat().st_mtime_ns == before
    assert (search / "search.journal").is_file() == (storage == "journal")
    found = summaries(search)
    assert len(found) == 3
    assert [without_times(s) for s in found] == [without_times(s) for s in uninterrupted]


@pytest.mark.slow
def test_a_search_is_kept_where_its_database_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    settle_place(tmp_path / "a", url)
    settle_place(tmp_path / "b", url)
    studies = [open_study(tmp_path / name) for name in ("a", "b")]
    studies[0].set_user_attr("mine", 1)
    assert open_study(tmp_path / "a").user_attrs == {"mine": 1}
    assert open_study(tmp_path / "b").user_attrs == {}
    assert not list(tmp_path.glob("?/search.db"))
    with pytest.raises(ConfigError, match="is kept in sqlite:///"):
        settle_place(tmp_path / "a", "journal")
    with pytest.raises(ConfigError, match="sqlite, journal, or the URL"):
        settle_place(tmp_path / "c", "sqlight")
    assert without_password("mysql://me:secret@host/x") == "mysql://me:***@host/x"
    for wrong in ("nothing://x/y", "postgresql://localhost:1/x"):
        settle_place(tmp_path / wrong[:4], wrong)
        with pytest.raises(UserError):
            open_study(tmp_path / wrong[:4])


def without_times(summary: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in summary.items() if k not in NOT_COMPARED}


def is_in_second_trial(search: Path) -> bool:
    """Whether the first trial is done and the second has validated once."""
    done = {path.parent for path in search.glob("*/summary.json")}
    begun = [p for p in search.glob("*/metrics.jsonl") if "val_loss" in p.read_text()]
    return len(done) == 1 and any(path.parent not in done for path in begun)


def test_the_plan_of_a_search_names_its_trials_and_trains_nothing(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    code, search = train(*SEARCH, RATES, "plan=true")
    assert code == 0
    assert "a search: 3 trials" in capsys.readouterr().out
    assert not search.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-m", "hydra/sweeper=optuna", "optimizer.rl=interval(0,1)"), "no key 'optimizer.rl'"),
        (("-m", "hydra/sweeper=optuna", "expert.dropout=interval(0,2)"), "expected float 0..0.95"),
        (("-m", "hydra/sweeper=optuna", "search=spars"), "no such search; did you mean sparse"),
        (("-m", "hydra/sweeper=optuna", "model=dense", "search=sparse"), "no key 'router.top_k'"),
        (("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=0"), "expected int >= 1"),
        (("-m", "hydra/sweeper=optuna", "hydra.sweeper.trial=3"), "follows from other settings"),
        (("hydra/sweeper=optuna",), "needs its sweeper and -m"),
        (("-m", "search=sparse", "seed=0,1"), "needs its sweeper and -m"),
        (("-m", "optimizer.lr=interval(0.1,1)"), "hydra/sweeper=optuna"),
    ],
)
def test_lines_that_no_search_can_follow_are_refused_before_anything_runs(
    words: tuple[str, ...], said: str, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    code, folder = train(*words)
    assert code == 2
    assert said in capsys.readouterr().err
    assert not folder.exists()


def test_without_optuna_the_message_says_what_to_install(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, folder = train(*SEARCH)
    assert code == 2
    assert ".[optuna]" in capsys.readouterr().err
    assert not folder.exists()
