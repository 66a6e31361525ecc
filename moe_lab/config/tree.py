"""What is wrong with a composed configuration: unknown keys, missing values, values outside their
rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from moe_lab.config.rules import Rule
from moe_lab.config.spelling import nearest
from moe_lab.errors import ConfigError

# Keys, at any depth, that say where a run is kept or how it is shown; seeds are counted apart.
NOT_HASHED = {
    "seed", "run_dir", "run_name", "tags", "logger", "progress", "health", "figures",
    "plan", "resume", "report", "trust", "root", "cache_dir", "directory", "file",
    "num_domains",  # follows from the rest, and came later
}  # fmt: skip
# Keys that came later and change nothing while they are null: without them, the runs from before
# would count as runs of other configurations.
NOT_HASHED_IF_NULL = {
    "test_subset", "white", "labels", "corrupt", "corrupt_strength", "corrupt_split",
}  # fmt: skip


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, where it was written, and what would be right."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"  {self.where}\n      {self.problem}"


def check_tree(config: DictConfig, rules: dict[str, Rule]) -> list[Mistake]:
    """Every unknown key and every value outside its rule in a composed configuration."""
    mistakes = []
    for key, rule in rules.items():
        if OmegaConf.is_missing(config, key):
            mistakes.append(Mistake(key, f"has no value: {rule.meaning}; type {key}=..."))
    for key, value in leaves(config):
        if key in rules:
            expected = rules[key].check(value, lambda other: OmegaConf.select(config, other))
            if expected:
                mistakes.append(Mistake(f"{key}={spell(value)}", f"expected {expected}"))
        elif not is_plumbing(key) and not any(known.startswith(f"{key}.") for known in rules):
            mistakes.append(Mistake(key, f"there is no such key{nearest(key, rules)}"))
    return mistakes


def leaves(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a configuration with its dotted key; interpolations of whole groups are left
    out.
    """
    for name in map(str, config):
        key = f"{prefix}{name}"
        if key == "hydra":
            continue
        whole = OmegaConf.is_interpolation(config, name)
        value = None if OmegaConf.is_missing(config, name) else config[name]
        if isinstance(value, DictConfig):
            if not whole:
                yield from leaves(value, f"{key}.")
        elif not OmegaConf.is_missing(config, name):
            yield key, OmegaConf.to_container(value) if OmegaConf.is_list(value) else value


def spell(value: Any) -> str:
    """A value as one would type it."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return str(value)


def is_plumbing(key: str) -> bool:
    """Whether a key is one of those that say how a part is built."""
    return key.rsplit(".", 1)[-1] in ("_target_", "_partial_", "_recursive_", "_convert_")


def parts_do_not_fit(error: OmegaConfBaseException) -> ConfigError:
    """One part refers to a key that the part chosen in another group does not have."""
    return ConfigError(
        f"the chosen parts do not fit: {str(error).splitlines()[0]}",
        f"a part that has this key, because {error.full_key or 'another part'} follows from it",
        "keep the parts that the model comes with, or choose others of their kind",
    )
