"""The panel list as a W&B workspace: what a project shows when it is opened."""

from __future__ import annotations

from collections.abc import Iterable

import wandb_workspaces.workspaces as ws
from wandb_workspaces.expr import FilterExpr, MetricType

from moe_lab.analysis.panels.panels import SECTIONS, STEP, Section
from moe_lab.analysis.panels.view import SWEEP, View, stored_key
from moe_lab.analysis.panels.wandb_panels import wandb_panel

COLUMNS = ("summary:test_accuracy", "summary:val_accuracy.max", "summary:params_active")


def build_workspace(view: View, sections: Iterable[Section] = SECTIONS) -> ws.Workspace:
    """A workspace with every section; nothing is sent."""
    groups: list[MetricType] = [
        ws.Metric("Group") if key == SWEEP else ws.Config(key) for key in view.group_by
    ]
    return ws.Workspace(
        entity=view.entity,
        project=view.project,
        name=view.title,
        sections=[
            ws.Section(
                name=section.title,
                panels=[wandb_panel(panel) for panel in section.panels],
                is_open=True,
            )
            for section in sections
        ],
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=50),
        runset_settings=ws.RunsetSettings(
            filters=run_filters(view),
            groupby=groups,
            order=[ws.Ordering(ws.Summary("test_accuracy"), ascending=False)],
            pinned_columns=list(COLUMNS),
        ),
    )


def run_filters(view: View) -> list[FilterExpr]:
    """What a run must have to be shown."""
    return [
        (ws.Metric("Group") if key == SWEEP else ws.Config(stored_key(key))) == value
        for key, value in view.filters
    ]
