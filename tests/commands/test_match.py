"""The entry point that sizes a matched dense baseline."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from moe_lab.commands.match import main

Train = Callable[..., tuple[int, Path]]
SMALL = ["dataset=synthetic", "dataset.source.num_train=300", "dataset.source.num_test=100",
         "expert.hidden=16", "trainer.max_epochs=1"]  # fmt: skip


def test_the_printed_command_trains_a_network_of_the_recorded_cost(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = []
    assert main([*SMALL, "seed=1"]) == 0
    printed = capsys.readouterr().out.splitlines()[-1]
    for words in (SMALL, shlex.split(printed)[3:]):
        code, run = train(*words, small=False)
        assert code == 0
        costs.append(json.loads((run / "summary.json").read_text())["flops_per_image"])
    mixture, baseline = costs
    assert mixture - 2 * 794 < baseline <= mixture  # a hidden unit is 794 multiply-adds


def test_bad_requests_end_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for line, expected in (
        (["model=dense"], "is a dense network itself"),
        (["budget=money"], "one of active_flops"),
        (["cost=10"], "even a dense network"),
    ):
        assert main(line) == 2, line
        assert expected in capsys.readouterr().err
