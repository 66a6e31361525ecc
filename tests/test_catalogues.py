"""Each room's README lists what its groups offer: nothing missing, nothing twice, sources named."""

from __future__ import annotations

import re

import pytest
from omegaconf import OmegaConf

from moe_lab.config.help import GROUPS, options
from moe_lab.config.location import configuration_folder
from tests.catalogue import ROOT, TABLES, Table, references_of, tables_of

UNLISTED = {"search"}  # spaces that are named after a model
WHOLE = {"experiment", "study"}  # complete settings and questions: with results instead of advice
NOT_METHODS = {"trainer", "callbacks", "logger", "debug"}  # nobody's invention
ALL = [(readme, about) for readme, abouts in TABLES.items() for about in abouts]
PARTS = [(readme, about) for readme, about in ALL if about not in WHOLE]
METHODS = [(readme, about) for readme, about in PARTS if about not in NOT_METHODS]


def table(readme: str, about: str) -> Table:
    found = [own for own in tables_of((ROOT / readme).read_text()) if own.about == about]
    assert len(found) == 1, f"{readme} has {len(found)} tables of {about}"
    return found[0]


def offered(about: str) -> list[str]:
    """What can be typed, read off the configuration files."""
    if about != "loss.terms.":
        return options(about)
    files = (configuration_folder() / "loss").rglob("*.yaml")
    return sorted({str(term) for file in files for term in OmegaConf.load(file).get("terms", {})})


def test_every_group_has_a_catalogue() -> None:
    assert {about for _, about in ALL} - {"loss.terms.", "study"} == set(GROUPS) - UNLISTED


@pytest.mark.parametrize(("readme", "about"), ALL)
def test_every_option_is_listed_once_and_no_other(readme: str, about: str) -> None:
    listed = table(readme, about).options()
    assert sorted(listed) == offered(about)


@pytest.mark.parametrize(("readme", "about"), PARTS)
def test_every_option_says_what_it_is_and_when_to_take_it(readme: str, about: str) -> None:
    own = table(readme, about)
    assert own.columns[-1] == "take it when"
    assert all(len(cell) >= 3 for row in own.rows for cell in row)


@pytest.mark.parametrize(("readme", "about"), METHODS)
def test_every_source_is_a_listed_reference_or_ours(readme: str, about: str) -> None:
    known = references_of((ROOT / readme).read_text())
    for cell in table(readme, about).column("source"):
        for source in cell.split("; "):
            name = re.sub(r"^(ours, )?after ", "", source)
            assert name == "ours" or name in known, source


@pytest.mark.parametrize("readme", TABLES)
def test_every_reference_is_cited_and_they_are_in_order(readme: str) -> None:
    text = (ROOT / readme).read_text()
    body, _, listed = text.partition("## References\n")
    names = re.findall(r"^\* ([^:]+ \d{4}): ", listed, flags=re.MULTILINE)
    assert names == sorted(names, key=lambda name: name.replace(" &", "").lower())
    assert [name for name in names if name not in body] == []
