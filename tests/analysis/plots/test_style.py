from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from moe_lab.analysis.plots.style import PALETTE, blank, colours, heat_map, panels, styled


def luminance(colour: str) -> float:
    return float(np.dot(to_rgba(colour)[:3], [0.2126, 0.7152, 0.0722]))


def test_every_colour_stands_out_from_white() -> None:
    assert max(luminance(colour) for colour in PALETTE) < 0.72


@pytest.mark.parametrize("count", [1, 2, 10, 11, 100])
def test_every_class_has_its_own_colour(count: int) -> None:
    assert len(set(colours(count))) == count


def test_a_heat_map_holds_its_values_names_and_readable_numbers() -> None:
    values = np.array([[0.0, 1.0], [np.nan, 0.25]])
    figure, (axes,) = panels("t", 1)
    heat_map(axes, values, ["r0", "r1"], ["c0", "c1"], "share")
    np.testing.assert_array_equal(np.ma.filled(axes.images[0].get_array(), np.nan), values)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["c0", "c1"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["r0", "r1"]
    written = {text.get_text(): text.get_color() for text in axes.texts}
    assert written == {"0.00": "white", "1.00": "black", "0.25": "white"}
    assert figure.axes[1].get_ylabel() == "share"


def test_a_large_heat_map_has_no_numbers_and_names_every_nth() -> None:
    _, (axes,) = panels("t", 1)
    names = [str(index) for index in range(100)]
    heat_map(axes, np.zeros((100, 100)), names, names, "share")
    assert len(axes.texts) == 0
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert len(shown) <= 24
    assert shown[:3] == ["0", "5", "10"]
    assert list(axes.get_xticks()[:3]) == [0, 5, 10]


def test_a_heat_map_of_nothing_but_gaps_can_be_drawn() -> None:
    figure, (axes,) = panels("t", 1)
    heat_map(axes, np.full((2, 2), np.nan), ["a", "b"], ["a", "b"], "share")
    figure.draw_without_rendering()
    assert len(axes.texts) == 0


def test_settings_of_the_caller_come_back_after_drawing() -> None:
    before = matplotlib.rcParams["axes.spines.top"]
    inside = []

    @styled
    def draw() -> matplotlib.figure.Figure:
        inside.append(matplotlib.rcParams["axes.spines.top"])
        return blank("t", 2, 2)

    draw()
    assert inside == [False]
    assert matplotlib.rcParams["axes.spines.top"] == before
