"""The panels name what training really sends to dashboards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from omegaconf import OmegaConf

from moe_lab.analysis.panels.panel_list import sections
from moe_lab.analysis.panels.show import drawn_names
from tests.conftest import SMALL
from tests.training.loggers.offline_run import OfflineRun, read_back

Train = Callable[..., tuple[int, Path]]
STORED = [
    panel._to_model().model_dump(by_alias=True, exclude_none=True)
    for section in sections()
    for panel in section.panels
]
DRAWN = ("Media Browser", "Weave")
SMALL_WITHOUT_EXPERTS = [words for words in SMALL if not words.startswith("expert.")]


def named(kinds: Iterable[str] | None = None) -> set[str]:
    """What the panels of these kinds draw, or those of numbers, without the marks of W&B."""
    wanted = kinds or {panel["viewType"] for panel in STORED} - set(DRAWN)
    chosen = [panel for panel in STORED if panel["viewType"] in wanted]
    names = {name for panel in chosen for name in drawn_names(panel["config"])}
    return {re.sub(r"^summary:|\.(min|max)$", "", name) for name in names}


def sent(run: OfflineRun) -> set[str]:
    """The names of all numbers that a dashboard got."""
    return {name for line in run.history for name in line}


def unmatched(patterns: Iterable[str], names: set[str]) -> set[str]:
    return {p for p in patterns if not any(re.search(p, name) for name in names)}


def test_a_mixture_sends_every_number_setting_figure_and_table(train: Train) -> None:
    # With logger=all too: what one logger is sent may not depend on another.
    code, folder = train(
        "logger=all", "trainer.log_every_n_steps=1", "temperature=linear",
        "loss.terms.importance.schedule.end=0.2",
    )  # fmt: skip
    assert code == 0
    run = read_back(folder)
    names = named()
    numbers = {n for n in names if not n.startswith(("^", "config:"))}
    assert {name for name in numbers - sent(run) if not name.startswith("passes/")} == set()
    patterns = unmatched((n for n in names if n.startswith("^")), sent(run))
    of_other_data = {p for p in patterns if "passes" in p or "domain_information" in p}
    assert set(patterns) - of_other_data == {r"^(router/([^/]+/)?dropped_share)$"}
    settings = [name.removeprefix("config:") for name in names if name.startswith("config:")]
    assert settings
    config = OmegaConf.create({key: {"value": value} for key, value in run.config.items()})
    assert [key for key in settings if OmegaConf.select(config, key) is None] == []
    of_blocks = {name for name in named(DRAWN) if "/block_" in name}
    media = {**run.media("image-file"), **run.media("table-file")}
    assert named(DRAWN) - of_blocks == set(media)


def test_models_of_several_passes_send_the_numbers_of_their_section(train: Train) -> None:
    code, folder = train("model=iwmn", "logger=wandb", *SMALL_WITHOUT_EXPERTS, small=False)
    assert code == 0
    names, of_passes = sent(read_back(folder)), {n for n in named() if "passes/" in n}
    assert {n for n in of_passes if not n.startswith("^")} - names == set()
    assert unmatched({n for n in of_passes if n.startswith("^")}, names) == set()


def test_every_router_of_a_network_with_several_has_its_curve_and_its_figures(train: Train) -> None:
    words = ["model=vit_moe", "model.depth=4", "model.capacity_factor=1.0", "logger=wandb"]
    code, folder = train(*words, "backbone.out_features=8", "dataset.size=[1,8,8]")
    assert code == 0
    run = read_back(folder)
    for pattern in (n for n in named() if re.match(r"\^\((router|specialisation|experts)", n)):
        if "domain_information" in pattern:  # the data have no domains
            continue
        found = {name for name in sent(run) if re.search(pattern, name)}
        assert {name.split("/")[1] for name in found} == {"block_1", "block_3"}, pattern
        # The data have no domains.
        curves = pattern.count("([^/]+/)") - pattern.count("domain_")
        experts = 8 if "share_" in pattern else 1
        assert len(found) == 2 * curves * experts, pattern  # and nothing beside what is meant
    of_blocks = {name for name in run.media("image-file") if "/block_" in name}
    assert of_blocks <= named(DRAWN)
    assert len(of_blocks) == 4  # load and classes of each


def test_titles_tell_panels_apart() -> None:
    titles = [str(panel["config"].get("chartTitle", panel["viewType"])) for panel in STORED]
    assert len(set(titles)) == len(titles)
    assert {panel["viewType"] for panel in STORED} == {
        "Run History Line Plot", "Scalar Chart", "Bar Chart", "Scatter Plot",
        "Parallel Coordinates Plot", "Run Comparer", *DRAWN,
    }  # fmt: skip
