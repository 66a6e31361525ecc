"""What a single override of a command line asks for."""

from __future__ import annotations

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

LAUNCHERS = {  # of Hydra, that are packages of their own
    "joblib": "hydra-joblib-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
    "ray": "hydra-ray-launcher",
}


def package_of(launcher: str) -> str | None:
    """Where a launcher that is not here comes from, to be read after `no such launcher`."""
    package = LAUNCHERS.get(launcher)
    return package and f" is installed: pip install {package}"


def values_of(override: Override) -> list[Any]:
    """The values that an override asks for: several in a choice sweep, none in a deletion."""
    if override.is_delete() and override.value() is None:
        return []
    if override.is_choice_sweep():
        return [python_value(v) for v in override.sweep_iterator()]
    if override.is_interval_sweep():
        interval: Any = override.value()
        ends = (interval.start, interval.end)
        return [int(end) if float(end).is_integer() else end for end in ends]
    if override.is_sweep_override():
        return []  # ranges and globs: every value is checked when the jobs are composed
    return [python_value(override.value())]


def python_value(value: Any) -> Any:
    """A parsed value as Python sees it: quoted strings are strings, and `1e-3` from a sweep is a
    number.
    """
    if isinstance(value, str):
        try:
            parsed = (
                OverridesParser.create().parse_override(f"x={value}").value() if value else value
            )
        except HydraException:  # quoted text that is no value of its own, such as a=b
            return value
        return parsed if isinstance(parsed, int | float | bool) else value
    if type(value).__name__ == "QuotedString":
        return value.text
    return [python_value(v) for v in value] if isinstance(value, list) else value


def first_value(override: Override) -> str:
    if override.is_sweep_override():
        first = next(iter(override.sweep_string_iterator()))
        return f"{override.get_key_element()}={first}"
    return override.input_line or ""


def place_of(override: Override) -> str:
    """A group where it is put: backbone, or backbone@expert.network for one inside another part."""
    key, package = override.key_or_group, override.package
    return f"{key}@{package}" if package else key


def bare(group: str) -> str:
    """The folder of a group: backbone for backbone@expert.network."""
    return group.partition("@")[0]
