"""What the panel shows on a terminal of 80 columns."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from moe_lab.training.health import LayerHealth, Usage, health_panel


def shown(*layers: LayerHealth, width: int = 80) -> list[str]:
    console = Console(record=True, force_terminal=True, width=width, file=io.StringIO())
    console.print(health_panel(layers, step=400))
    return console.export_text().splitlines()


def usage(share: list[float]) -> Usage:
    shares = np.array(share)
    return Usage(200, shares, shares, np.where(shares == 0, 350, 0))


def test_a_bar_an_expert_with_its_share_and_the_dead_marked() -> None:
    lines = shown(LayerHealth("router", usage([0.5, 0.25, 0.25, 0.0])))
    assert "router health, step 400: share of weight, last 200 steps" in lines[0]
    assert "usage entropy 1.50 of 2.00 bits (75%)   dead experts 1 of 4" in lines[1]
    bars = [line for line in lines if "expert " in line]
    assert [line.split("%")[0].split()[-1] for line in bars] == ["50.0", "25.0", "25.0", "0.0"]
    lengths = [line.count("█") for line in bars]
    assert lengths[0] > 20
    assert abs(lengths[0] - 2 * lengths[1]) <= 1
    assert lengths[3] == 0
    assert ["unused 350 steps" in line for line in bars] == [False, False, False, True]
    assert len(lines) == 1 + 1 + 4 + 1
    assert {len(line) for line in lines} == {80}


def test_advice_and_alarm_are_in_words() -> None:
    health = LayerHealth("router", usage([1.0, 0.0]), ["do [this] first"], "expert 0 has 100%")
    text = "\n".join(shown(health))
    assert "COLLAPSE: expert 0 has 100%" in text
    assert "-> do [this] first" in text  # square brackets are no markup here
    assert "usage entropy 0.00 of 1.00 bits (0%)" in text


def test_sixty_four_experts_take_one_row() -> None:
    share = np.full(64, 1 / 62)
    share[[5, 40]] = 0
    lines = shown(LayerHealth("router", usage(share.tolist())), width=100)
    (row,) = [line for line in lines if "▄" in line]
    columns = row.split()[2]
    assert len(columns) == 64
    assert [place for place, mark in enumerate(columns) if mark == "x"] == [5, 40]
    assert "largest: expert 0 1.6%" in row
    assert "dead experts 2 of 64" in lines[1]
    assert len(lines) == 4


def test_on_eighty_columns_nothing_is_cut_off() -> None:
    lines = shown(LayerHealth("router", usage([1 / 64] * 64)))
    assert sum(line.count("▄") for line in lines) == 64


def test_several_layers_have_their_names_and_a_row_each() -> None:
    first = LayerHealth("block1", usage([0.25] * 4))
    second = LayerHealth("block2", usage([1.0, 0.0, 0.0, 0.0]), alarm="expert 0 has 100%")
    text = shown(first, second)
    assert "block1: usage entropy 2.00 of 2.00 bits" in text[1]
    assert "▄▄▄▄" in text[2]
    assert "block2: usage entropy 0.00 of 2.00 bits" in text[3]
    assert "COLLAPSE" in text[4]
    assert "█xxx" in text[5]


def test_one_expert_and_nan_are_drawn_too() -> None:
    assert any("100.0%" in line for line in shown(LayerHealth("router", usage([1.0]))))
    broken = Usage(5, np.ones(2), np.full(2, np.nan), np.zeros(2, dtype=np.int64))
    assert any("nan of 1.00 bits" in line for line in shown(LayerHealth("router", broken)))
