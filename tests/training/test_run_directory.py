"""The run directory and the sandbox around a job."""

from __future__ import annotations

import json
import os
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from moe_lab.errors import ConfigError, UserError
from moe_lab.training import disk
from moe_lab.training.disk import write_atomically
from moe_lab.training.run_directory import RunDirectory, config_hash, without_nan
from moe_lab.training.sandbox import sandbox


def test_json_holds_null_where_a_number_is_not_finite(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_json(run.summary, {"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": 2}})
    assert json.loads(run.summary.read_text()) == {"a": None, "b": [None, 1.5], "c": {"d": 2}}
    assert without_nan((1, float("-inf"))) == [1, None]


def test_a_failed_write_keeps_the_old_file_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(disk, "PAUSES", (0.01,))
    with pytest.raises(UserError, match=r"cannot write .*No space left"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_an_unusable_or_taken_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write to run_dir"):
        RunDirectory(tmp_path / "file" / "run").create()
    taken = RunDirectory(tmp_path / "taken")
    taken.create()
    taken.refuse_taken()
    taken.write_config({"seed": 0})
    with pytest.raises(ConfigError, match="already holds a run"):
        taken.refuse_taken()
    with pytest.raises(ConfigError, match="holds no run"):
        RunDirectory(tmp_path / "nothing").read_config()


def test_keys_that_came_later_count_for_the_hash_only_where_they_are_set() -> None:
    before = {"dataset": {"subset": None, "source": {"root": "x"}}}
    null = {
        "dataset": {"subset": None, "test_subset": None, "white": None, "source": {"white": None}}
    }
    assert config_hash(null) == config_hash(before)
    assert config_hash({"dataset": {"test_subset": None}}) != config_hash(before)  # subset counts
    for key in ("test_subset", "white"):
        assert config_hash({"dataset": {**before["dataset"], key: 500}}) != config_hash(before)


def test_the_config_hash_ignores_seed_place_and_display_only() -> None:
    config = {
        "seed": 0,
        "run_dir": "a",
        "dataset": {"root": "x", "batch_size": 8},
        "callbacks": {"progress": {"style": "bar"}, "checkpoint": {"directory": "a/checkpoints"}},
        "optimizer": {"lr": 0.1},
    }
    moved = json.loads(json.dumps(config).replace('"a"', '"b"').replace('"x"', '"y"'))
    moved |= {"seed": 1, "logger": {"wandb": {}}}
    moved["callbacks"]["progress"]["style"] = "lines"
    moved["callbacks"]["checkpoint"]["directory"] = "b/checkpoints"
    assert config_hash(moved) == config_hash(config)
    assert len(config_hash(config)) == 12
    changed = {**config, "optimizer": {"lr": 0.2}}
    assert config_hash(changed) != config_hash(config)


def test_the_sandbox_restores_what_a_job_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "before")
    state = torch.get_rng_state()
    filters = list(warnings.filters)
    with sandbox():
        os.environ["KEPT"], os.environ["PL_GLOBAL_SEED"] = "after", "7"
        torch.use_deterministic_algorithms(True)
        torch.set_float32_matmul_precision("medium")
        torch.manual_seed(99)
        random.seed(1)
        np.random.seed(1)
        warnings.simplefilter("ignore")
    assert os.environ["KEPT"] == "before"
    assert "PL_GLOBAL_SEED" not in os.environ
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.equal(torch.get_rng_state(), state)
    assert warnings.filters == filters


def test_the_sandbox_restores_after_an_exception() -> None:
    def job() -> None:
        with sandbox():
            torch.use_deterministic_algorithms(True)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        job()
    assert not torch.are_deterministic_algorithms_enabled()
