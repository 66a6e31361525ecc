"""The panel list as a W&B report: the same panels with the text that explains them."""

from __future__ import annotations

from collections.abc import Iterable

import wandb_workspaces.reports.v2 as wr
from wandb_workspaces.reports.v2.interface import BlockTypes

from moe_lab.analysis.panels.panels import SECTIONS, Section
from moe_lab.analysis.panels.view import SWEEP, View
from moe_lab.analysis.panels.wandb_panels import wandb_panel
from moe_lab.analysis.panels.workspace import run_filters

ABOUT = "Written from the panel list of moe_lab; every section shows the same runs."


def build_report(view: View, online: bool, sections: Iterable[Section] = SECTIONS) -> wr.Report:
    """A report with every section; nothing is sent.

    An `online` one names the project of its runs, and asks the server for it when it is written
    out; another takes the runs of the project it lies in.
    """
    blocks = [block for section in sections for block in section_blocks(section, view, online)]
    return wr.Report(
        entity=view.entity,
        project=view.project,
        title=view.title,
        description=ABOUT,
        width="fluid",
        blocks=[wr.TableOfContents(), *blocks],
    )


def section_blocks(section: Section, view: View, online: bool) -> list[BlockTypes]:
    """Heading, text and panels."""
    runs = wr.Runset(
        entity=view.entity if online else "",
        project=view.project if online else "",
        name="runs",
        filters=run_filters(view),
        groupby=["run.group" if key == SWEEP else f"config.{key}" for key in view.group_by],
        order=[wr.OrderBy(wr.SummaryMetric("test_accuracy"), ascending=False)],
    )
    grid = wr.PanelGrid(runsets=[runs], panels=[wandb_panel(panel) for panel in section.panels])
    return [wr.H2(section.title), wr.P(section.text), grid]
