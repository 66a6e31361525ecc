"""Shows the panel list, and what W&B would be sent, without any network."""

from __future__ import annotations

import json
from typing import Any

import yaml
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from moe_lab.analysis.panels.panels import SECTIONS, Panel
from moe_lab.analysis.panels.view import View, read_view
from moe_lab.analysis.panels.wandb_report import build_report
from moe_lab.analysis.panels.workspace import build_workspace

UNKNOWN = "ENTITY"  # the key's own, which only the server knows


def show(config: DictConfig) -> None:
    """Print the panels, or with format=yaml or format=json all that W&B would be sent."""
    sent = specification(read_view(config, config.entity or UNKNOWN))
    if config.format == "json":
        print(json.dumps(sent, indent=2))
    elif config.format == "yaml":
        print(yaml.safe_dump(sent, sort_keys=False, allow_unicode=True), end="")
    else:
        Console().print(panel_table())


def specification(view: View) -> dict[str, Any]:
    """Workspace and report as W&B stores them."""
    written = {
        "workspace": build_workspace(view)._to_model(),
        "report": build_report(view, online=False)._to_model(),
    }
    return {
        name: json.loads(model.model_dump_json(by_alias=True, exclude_none=True))
        for name, model in written.items()
    }


def panel_table() -> Table:
    """A row a panel."""
    table = Table("section", "panel", "kind")
    table.add_column("what is drawn", overflow="fold")
    for section in SECTIONS:
        for position, panel in enumerate(section.panels):
            first = section.title if position == 0 else ""
            table.add_row(first, panel.title, panel.kind.replace("_", " "), content(panel))
        table.add_section()
    return table


def content(panel: Panel) -> str:
    """The names that a panel draws."""
    return ", ".join((*panel.settings, *panel.metrics)) or panel.pattern or "all settings"
