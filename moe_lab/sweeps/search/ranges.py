"""Which ranges a command line with hydra/sweeper=optuna searches."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from moe_lab.config.compose import composer
from moe_lab.config.launch import CommandLine
from moe_lab.errors import ConfigError
from moe_lab.sweeps.search.storage import require_optuna

SWEEPER = "hydra/sweeper"
GENERAL = "general"  # the file for models without one of their own


def asks_for_search(line: CommandLine) -> bool:
    """Whether a line is a search; ConfigError where it is half of one."""
    try:
        overrides = OverridesParser.create().parse_overrides(line.words)
    except HydraException:
        return False  # the check of the line says what is wrong with it
    typed = {o.key_or_group: o for o in overrides}
    is_search = SWEEPER in typed and typed[SWEEPER].value() == "optuna"
    if (is_search or "search" in typed) and not (is_search and line.multirun):
        raise ConfigError(
            "a search needs its sweeper and -m",
            "python -m moe_lab.train -m hydra/sweeper=optuna [search=NAME] run_dir=FOLDER",
        )
    return is_search


def with_ranges(words: Sequence[str]) -> list[str]:
    """The words, and the ranges of their file: search=NAME, or where no range is typed that of the
    model. What is typed wins.
    """
    require_optuna()
    overrides = OverridesParser.create().parse_overrides(list(words))
    file = next((o for o in overrides if o.key_or_group == "search"), None)
    if file is None and any(o.is_sweep_override() for o in overrides):
        return list(words)
    given = {o.get_key_element() for o in overrides}
    return [*words, *words_of_file(overrides, file, given)]


def words_of_file(overrides: list[Override], file: Override | None, given: set[str]) -> list[str]:
    """The ranges of the file that was named or that belongs to the model, but for `given` keys.

    What the model's own file varies and this composition does not have, as after router=..., is
    left out and said.
    """
    fixed = [
        o.input_line or ""
        for o in overrides
        if not o.is_sweep_override() and o.key_or_group != "search"
    ]
    with composer("train") as composing:
        try:
            chosen = composing.choices(fixed)
        except HydraException:
            return []  # the check of the line says what is wrong with it
        name = str(chosen["model"]) if file is None else str(file.value())
        if name not in composing.options("search"):
            if file is not None:
                return []  # as above
            name = GENERAL
        found = dict(composing.compose([f"search={name}"]).config["search"])
        rules = composing.rules(fixed)
    ranges = {str(key): str(text) for key, text in found.items() if key not in given}
    absent = [key for key in ranges if key not in rules] if file is None else []
    if absent:
        print(f"search={name} without what this composition does not have: {', '.join(absent)}")
    return [f"{key}={text}" for key, text in ranges.items() if key not in absent]
