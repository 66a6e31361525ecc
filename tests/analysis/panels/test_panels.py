"""The panel list names what training really logs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from moe_lab.analysis.panels.panels import LAYERED, PASSES, SECTIONS, SUMMARIES, Panel
from tests.conftest import SMALL
from tests.training.loggers.offline_run import read_back

Train = Callable[..., tuple[int, Path]]
PANELS = [panel for section in SECTIONS for panel in section.panels]
OF_BLOCKS = {name for panel in LAYERED.panels for name in panel.metrics}
OF_PASSES = [name for panel in PASSES.panels for name in panel.metrics]
DRAWN = ("images", "table")
SMALL_WITHOUT_EXPERTS = [words for words in SMALL if not words.startswith("expert.")]


def logged(folder: Path) -> set[str]:
    """The names of all numbers in a run's record."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {name for line in lines for name in line}


def test_a_mixture_logs_every_number_setting_figure_and_table_of_the_list(train: Train) -> None:
    # With logger=all too: what one logger is sent may not depend on another.
    code, folder = train("logger=all", "trainer.log_every_n_steps=1")
    assert code == 0
    names, run = logged(folder), read_back(folder)
    numbers = {m for p in PANELS if p.kind not in DRAWN for m in p.metrics} - set(OF_PASSES)
    assert numbers - names == set()
    assert set(SUMMARIES) - names == set()
    assert numbers - {name for line in run.history for name in line} == set()
    settings = {key for panel in PANELS for key in panel.settings}
    config = OmegaConf.create(run.config)
    assert [key for key in settings if OmegaConf.select(config, key) is None] == []
    assert shown("images") - OF_BLOCKS == set(run.media("image-file"))
    assert shown("table") == set(run.media("table-file"))


def shown(kind: str) -> set[str]:
    return {name for panel in PANELS if panel.kind == kind for name in panel.metrics}


@pytest.mark.parametrize(
    ("model", "lacks"), [("iwmn", set()), ("adaptive_depth", {"val_pass_agreement"})]
)
def test_models_of_several_passes_log_the_numbers_of_their_section(
    model: str, lacks: set[str], train: Train
) -> None:
    code, folder = train(f"model={model}", *SMALL_WITHOUT_EXPERTS, small=False)
    assert code == 0
    names = logged(folder)
    assert set(OF_PASSES) - names == lacks
    if model == "iwmn":
        for pattern in (panel.pattern for panel in PASSES.panels if panel.pattern):
            assert any(re.search(pattern, name) for name in names), pattern


def test_networks_of_several_routers_log_the_numbers_and_figures_of_their_section(
    train: Train,
) -> None:
    words = ["model=vit_moe", "model.depth=4", "model.capacity_factor=1.0", "logger=wandb"]
    code, folder = train(*words, "backbone.out_features=8", "dataset.size=[1,8,8]")
    assert code == 0
    names = logged(folder)
    for pattern in (panel.pattern for panel in LAYERED.panels if panel.pattern):
        found = {name for name in names if re.search(pattern, name)}
        blocks = {re.findall(r"block_[0-9]+", name)[0] for name in found}
        assert blocks == {"block_1", "block_3"}, pattern
        assert len(found) == 2, pattern  # and nothing beside the number that is meant
    drawn = set(read_back(folder).media("image-file"))
    of_blocks = {name for name in drawn if "block" in name}
    assert of_blocks <= OF_BLOCKS
    assert len(of_blocks) == 4  # load and classes of each


def test_a_panel_has_what_its_kind_draws() -> None:
    counts = {"scalar": 1, "scatter": 2, "table": 1}
    for panel in PANELS:
        if panel.kind in counts:
            assert len(panel.metrics) == counts[panel.kind], panel
        assert bool(panel.metrics or panel.pattern) == (panel.kind != "run_comparer"), panel
        assert panel.kind == "line" or not panel.pattern, panel
    assert {panel.kind for panel in PANELS} == {
        "line", "scalar", "bar", "scatter", "parallel_coordinates", "run_comparer", *DRAWN,
    }  # fmt: skip


def test_titles_tell_panels_apart() -> None:
    titles = [panel.title for panel in PANELS]
    assert len(set(titles)) == len(titles)
    assert Panel("line", "x").unit == ""
