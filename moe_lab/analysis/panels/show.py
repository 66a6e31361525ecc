"""Shows the panel list, and what W&B would be sent, without any network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from moe_lab.analysis.panels.panel_list import sections
from moe_lab.analysis.panels.wandb_pages import build_report, build_workspace
from moe_lab.metrics.registry import STEP_TAG

UNKNOWN = "ENTITY"  # the key's own, which only the server knows


def show_panels(config: DictConfig) -> None:
    """Print the panels, or with format=yaml or format=json all that W&B would be sent."""
    sent = specification(config)
    if config.format == "json":
        print(json.dumps(sent, indent=2))
    elif config.format == "yaml":
        print(yaml.safe_dump(sent, sort_keys=False, allow_unicode=True), end="")
    else:
        Console().print(panel_table())


def specification(config: DictConfig) -> dict[str, Any]:
    """Workspace and report as W&B stores them."""
    entity = config.entity or UNKNOWN
    written = {
        "workspace": build_workspace(config, entity)._to_model(),
        "report": build_report(config, entity, online=False)._to_model(),
    }
    return {
        name: json.loads(model.model_dump_json(by_alias=True, exclude_none=True))
        for name, model in written.items()
    }


def panel_table() -> Table:
    """A row a panel."""
    table = Table("section", "panel", "kind")
    table.add_column("what is drawn", overflow="fold")
    for section in sections():
        for position, panel in enumerate(section.panels):
            stored = panel._to_model().model_dump(by_alias=True, exclude_none=True)
            kind, config = stored["viewType"], stored["config"]
            head = section.title if position == 0 else ""
            table.add_row(
                head, config.get("chartTitle", kind), kind, ", ".join(drawn_names(config))
            )
        table.add_section()
    return table


def drawn_names(config: Any, key: str = "") -> Iterator[str]:
    """The names of metrics, settings, pictures and tables in what W&B stores of a panel."""
    if isinstance(config, dict):
        yield from (name for k, value in config.items() for name in drawn_names(value, k))
    elif isinstance(config, list):
        yield from (name for value in config for name in drawn_names(value, key))
    elif key == "accessor" or ("/" in str(config) and config != STEP_TAG and "Title" not in key):
        yield str(config)
