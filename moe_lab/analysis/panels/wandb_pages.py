"""The sections of a dashboard as the two pages of W&B: a workspace, which a project shows when it
is opened, and a report with the text that explains it. Nothing is sent.
"""

from __future__ import annotations

import json
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from omegaconf import DictConfig
from wandb_workspaces.expr import FilterExpr, MetricType

from moe_lab.analysis.panels.panel_list import of_run, sections
from moe_lab.config.typed import as_list
from moe_lab.errors import ConfigError
from moe_lab.metrics.registry import STEP_TAG, lookup

SWEEP = "group"  # what W&B calls the runs of one sweep
COLUMNS = ("test_accuracy", "val_accuracy", "params_active")
ABOUT = "Written from the panel list of moe_lab; every section shows the same runs."


def build_workspace(config: DictConfig, entity: str) -> ws.Workspace:
    """A workspace with every section, for the project, title and runs of conf/dashboard.yaml."""
    shown = [
        ws.Section(name=section.title, panels=list(section.panels), is_open=True)
        for section in sections()
    ]
    groups: list[MetricType] = [
        ws.Metric("Group") if key == SWEEP else ws.Config(key) for key in as_list(config.group_by)
    ]
    runs = ws.RunsetSettings(
        filters=run_filters(config),
        groupby=groups,
        order=[ws.Ordering(ws.Summary(lookup("test_accuracy").tag), ascending=False)],
        pinned_columns=[f"summary:{of_run(lookup(name)).name}" for name in COLUMNS],
    )
    return ws.Workspace(
        entity=entity, project=config.project, name=config.title, sections=shown,
        settings=ws.WorkspaceSettings(x_axis=STEP_TAG, max_runs=50), runset_settings=runs,
    )  # fmt: skip


def build_report(config: DictConfig, entity: str, online: bool) -> wr.Report:
    """A report with every section.

    An `online` one names the project of its runs, and asks the server for it when it is written
    out; another takes the runs of the project it lies in.
    """
    where: dict[str, Any] = {"entity": entity, "project": config.project}
    report = wr.Report(**where, title=config.title, description=ABOUT, width="fluid")
    report.blocks = [wr.TableOfContents()]
    groups = ["run.group" if key == SWEEP else f"config.{key}" for key in as_list(config.group_by)]
    for section in sections():
        runs = wr.Runset(
            **(where if online else dict.fromkeys(where, "")),
            name="runs",
            filters=run_filters(config),
            groupby=list(groups),
            order=[wr.OrderBy(of_run(lookup("test_accuracy")), ascending=False)],
        )
        grid = wr.PanelGrid(runsets=[runs], panels=list(section.panels))
        report.blocks += [wr.H2(section.title), wr.P(section.text), grid]
    return report


def run_filters(config: DictConfig) -> list[FilterExpr]:
    """What a run must have to be shown, typed as `key:value`; ConfigError without a colon."""
    filters = []
    for text in as_list(config.filters):
        key, colon, value = str(text).partition(":")
        if not (key and colon and value):
            raise ConfigError(
                f"filters={text} is no filter",
                "a setting and its value, with a colon between them",
                "filters=[choices.model:sparse,dataset.batch_size:64]",
            )
        first, *rest = key.split(".")
        # W&B keeps every first part of a key with a `value` of its own.
        stored = ws.Config(".".join((first, "value", *rest)))
        filters.append((ws.Metric("Group") if key == SWEEP else stored) == as_value(value))
    return filters


def as_value(text: str) -> Any:
    """A number, true, false or null where the text is one, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
