"""Controls that are told what contenders have to find out."""

from __future__ import annotations

from collections.abc import Iterable

from moe_lab.comparison.found_runs import Group
from moe_lab.errors import ConfigError

TOLD = {"router": "oracle"}  # options that read what is true of an image


def refuse_controls(groups: Iterable[Group]) -> None:
    """ConfigError for runs of a control, which would win as a contender and prove nothing."""
    for group in groups:
        choices = group.runs[0].summary.get("choices") or {}
        told = [f"{key}={option}" for key, option in TOLD.items() if choices.get(key) == option]
        if told:
            raise ConfigError(
                f"{group.runs[0].path} is a control: {told[0]} is told the true domain of an image",
                "contenders, which find out by themselves",
                "leave its runs out, or set controls=true to see it beside them",
            )
