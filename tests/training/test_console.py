"""What a run says at its start, and the tables at its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from moe_lab.config.check import check_line
from moe_lab.training.console import layer_rows, print_summary, settings_lines

RUN: dict[str, Any] = {"run_name": "digits", "status": "done", "test_accuracy": 0.9876}


def layer(name: str, load_cv: float, **more: float) -> dict[str, float]:
    values = {"load_cv": load_cv, "max_load_share": 0.25, "dead_experts": 1.0, **more}
    return {f"{name}_{metric}": value for metric, value in values.items()}


def test_several_routed_layers_have_a_line_each() -> None:
    told = layer("block_1", 0.5, mutual_information=1.25, mutual_information_null=0.004)
    assert layer_rows({**RUN, **told, **layer("block_3", 0.125, dropped_share=0.031)}) == [
        ("block_1", "0.500", "25.0", "1", "", "", "", "1.250", "0.004", ""),
        ("block_3", "0.125", "25.0", "1", "", "", "3.1", "", "", ""),
    ]


def test_one_router_stays_in_the_table_of_results(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary({**RUN, "load_cv": 0.5})
    shown = capsys.readouterr().out
    assert "layer by layer" not in shown
    assert "load variation" in shown
    assert "98.76 %" in shown


def test_a_model_with_routed_layers_shows_both_tables(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary({**RUN, **layer("block_2", 0.375)})
    shown = capsys.readouterr().out
    assert "98.76 %" in shown
    assert "routing, layer by layer" in shown
    assert "0.375" in shown
    assert "dropped" not in shown  # nothing was measured


def test_the_table_says_that_only_some_test_images_were_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_summary({**RUN, "test_subset": 1000})
    assert "1,000 of the test images only" in capsys.readouterr().out
    print_summary(RUN)
    assert "tested on" not in capsys.readouterr().out


def settings_of(*words: str) -> list[str]:
    (job,) = check_line("train", ["run_dir=run", *words])
    return settings_lines(job.plain(), job.choices, Path("run/config.yaml"))


def test_only_what_differs_is_shown_with_its_default() -> None:
    lines = settings_of("dataset=synthetic", "model.num_experts=4", "optimizer.lr=0.1")
    assert lines == [
        "what differs from the defaults:",
        "  dataset            synthetic  (default mnist)",
        "  model.num_experts  4          (default 8)",
        "  optimizer.lr       0.1        (default 0.002)",
        "all settings: run/config.yaml",
    ]


def test_the_default_command_has_nothing_to_show() -> None:
    assert settings_of() == ["every setting is the default", "all settings: run/config.yaml"]


def test_what_an_experiment_sets_differs_from_the_defaults() -> None:
    lines = settings_of("experiment=smoke")
    assert "  experiment                smoke      (default none)" in lines
    assert "  dataset.source.num_train  600        (default 2000)" in lines
    assert max(map(len, lines)) <= 80


def test_a_run_says_what_it_will_do_before_torch_is_imported() -> None:
    program = (
        "import sys\n"
        "from moe_lab.config.check import check_line\n"
        "from moe_lab.training.console import announce\n"
        "(job,) = check_line('train', ['model=dense', 'seed=3'])\n"
        "announce(job.config, job.choices, 'outputs/dense')\n"
        "assert 'torch' not in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "train model=dense expert=mlp dataset=mnist seed=3",
        "run directory: outputs/dense",
    ]
