"""Where a dashboard lies and which runs it shows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from moe_lab.errors import ConfigError

SWEEP = "group"  # what W&B calls the runs of one sweep


@dataclass(frozen=True)
class View:
    """A dashboard of a project: its runs, grouped by keys of the configuration or by sweep."""

    entity: str
    project: str
    title: str
    group_by: tuple[str, ...] = ()
    filters: tuple[tuple[str, Any], ...] = ()  # (key, value) that a run must have

    @property
    def address(self) -> str:
        return f"{self.entity}/{self.project}"


def read_view(config: DictConfig, entity: str) -> View:
    """The view that conf/dashboard.yaml and the command line describe."""
    keys = [config.group_by] if isinstance(config.group_by, str) else config.group_by
    typed = [config.filters] if isinstance(config.filters, str) else config.filters
    return View(entity, config.project, config.title, tuple(keys), tuple(read_filters(typed)))


def read_filters(typed: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """`key:value` as (key, value); ConfigError without a colon."""
    for text in typed:
        key, colon, value = str(text).partition(":")
        if not (key and colon and value):
            raise ConfigError(
                f"filters={text} is no filter",
                "a setting and its value, with a colon between them",
                "filters=[choices.model:sparse,dataset.batch_size:64]",
            )
        yield key, plain(value)


def plain(text: str) -> Any:
    """A number, true, false or null where the text is one, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def stored_key(key: str) -> str:
    """What W&B calls a key of the configuration: every first part holds a `value` of its own."""
    first, *rest = key.split(".")
    return ".".join((first, "value", *rest))
