"""A command line with hydra/sweeper=optuna: which space it means, and what it would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode

from moe_lab.config.help import options
from moe_lab.config.location import configuration_folder
from moe_lab.config.tree import rules_of
from moe_lab.errors import ConfigError
from moe_lab.sweeps.jobs import RECORD, Job
from moe_lab.sweeps.search.composing import beside
from moe_lab.sweeps.search.space import make_space
from moe_lab.sweeps.search.study import NAME, begin, holds_search, require_optuna
from moe_lab.training.status import is_locked

SWEEPER = "hydra/sweeper"
GENERAL = "general"  # the file for models without one of their own


@dataclass(frozen=True)
class SearchLine:
    """A search as it was typed: all words with the ranges of its file, and how many trials."""

    words: list[str]

    def plan(self, default: Job) -> int:
        """Say what the search would cost at most; nothing is trained."""
        from moe_lab.sweeps.plan import duration, make_plan, show

        make_space(task_words(self.words))
        entries = make_plan([default], None)
        show(entries, None)
        trials = self.n_trials()
        print(
            f"a search: {trials} trials, the one above, which is the default, among them; "
            f"{duration(trials * entries[0].seconds)} if all were like it. Larger ones take "
            "longer, and those that are pruned less",
            flush=True,
        )
        return 2 if isinstance(entries[0].found, str) else 0

    def begin(self, folder: Path, default: Job) -> None:
        """Check the ranges and the folder, and write the search down."""
        if (folder / RECORD).is_file() and not holds_search(folder):
            raise ConfigError(f"run_dir={folder} holds a sweep", "a folder of the search's own")
        if is_locked(folder / NAME):
            raise ConfigError(f"another process is at work on the search in {folder}")
        begin(folder, make_space(task_words(self.words)), default, self.n_trials())

    def n_trials(self) -> int:
        typed = [w.partition("=")[2] for w in self.words if w.startswith("hydra.sweeper.n_trials=")]
        return int(typed[-1]) if typed else default_number_of_trials()


def read_search(words: Sequence[str], multirun: bool) -> SearchLine | None:
    """The search that a command line asks for, with the ranges of its file; None without one.

    Ranges that are typed, or else search=NAME, or else the file of the model.
    """
    try:
        overrides = OverridesParser.create().parse_overrides(list(words))
    except HydraException:
        return None  # the check of the line says what is wrong with it
    typed = {o.key_or_group: o for o in overrides}
    is_search = SWEEPER in typed and typed[SWEEPER].value() == "optuna"
    if not is_search or not multirun:
        if is_search or "search" in typed:
            raise ConfigError(
                "a search needs its sweeper and -m",
                "python -m moe_lab.train -m hydra/sweeper=optuna [search=NAME] run_dir=FOLDER",
            )
        return None
    require_optuna()
    file, own = typed.get("search"), [o for o in overrides if o.is_sweep_override()]
    if file is None and own:
        return SearchLine(list(words))
    given = {o.get_key_element() for o in overrides}
    return SearchLine([*words, *words_of_file(overrides, file, given)])


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
    with beside(), initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        try:
            defaults = loader.compute_defaults_list("train", fixed, RunMode.RUN)
        except HydraException:
            return []  # the check of the line says what is wrong with it
        chosen: Any = defaults.overrides.known_choices
        name = str(chosen["model"]) if file is None else str(file.value())
        if name not in options("search"):
            if file is not None:
                return []  # as above
            name = GENERAL
        ranges = dict(compose("train", [f"search={name}"])["search"])
        rules = rules_of(defaults)
    ranges = {str(key): str(text) for key, text in ranges.items() if key not in given}
    absent = [key for key in ranges if key not in rules] if file is None else []
    if absent:
        print(f"search={name} without what this composition does not have: {', '.join(absent)}")
    return [f"{key}={text}" for key, text in ranges.items() if key not in absent]


def task_words(words: Sequence[str]) -> list[str]:
    """A line without Hydra's own words."""
    return [w for w in words if not w.lstrip("+~").startswith(("hydra/", "hydra."))]


def default_number_of_trials() -> int:
    """What conf/hydra/sweeper/optuna.yaml says."""
    import yaml

    path = configuration_folder() / "hydra" / "sweeper" / "optuna.yaml"
    return int(yaml.safe_load(path.read_text(encoding="utf-8"))["n_trials"])
