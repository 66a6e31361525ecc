"""The final tables of a run: what stands in them, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from moe_lab.training.console import layer_rows, print_summary

RUN: dict[str, Any] = {"run_name": "digits", "status": "done", "test_accuracy": 0.9876}


def layer(name: str, load_cv: float, **more: float) -> dict[str, float]:
    values = {"load_cv": load_cv, "max_load_share": 0.25, "dead_experts": 1.0, **more}
    return {f"{name}_{metric}": value for metric, value in values.items()}


def test_several_routed_layers_have_a_line_each() -> None:
    told = layer("block_1", 0.5, mutual_information=1.25, mutual_information_null=0.004)
    assert layer_rows({**RUN, **told, **layer("block_3", 0.125, dropped_share=0.031)}) == [
        ("block_1", "0.500", "25.0", "1", "", "", "", "1.250", "0.004"),
        ("block_3", "0.125", "25.0", "1", "3.1", "", "", "", ""),
    ]


def test_one_router_stays_in_the_table_of_results(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary({**RUN, "load_cv": 0.5})
    shown = capsys.readouterr().out
    assert "layer by layer" not in shown
    assert "load: variation (CV)" in shown
    assert "98.76 %" in shown


def test_a_model_with_routed_layers_shows_both_tables(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary({**RUN, **layer("block_2", 0.375)})
    shown = capsys.readouterr().out
    assert "98.76 %" in shown
    assert "routing, layer by layer" in shown
    assert "0.375" in shown
    assert "dropped" not in shown  # nothing was measured
