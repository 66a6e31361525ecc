"""wandb-workspaces takes the panel list, and gives it back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from wandb_workspaces.reports.v2.internal import ReportViewspec
from wandb_workspaces.workspaces import Workspace
from wandb_workspaces.workspaces.internal import View as StoredView

from moe_lab.analysis.panels.panels import SECTIONS, STEP, Panel
from moe_lab.analysis.panels.show import specification
from moe_lab.analysis.panels.view import View
from moe_lab.analysis.panels.wandb_panels import wandb_panel

VIEW = View(
    "team", "moe_lab", "Mixtures", ("group", "choices.model"),
    (("choices.model", "sparse"), ("seed", 0), ("group", "a sweep")),
)  # fmt: skip
NAMES = {  # what W&B calls the kinds
    "line": "Run History Line Plot",
    "scalar": "Scalar Chart",
    "bar": "Bar Chart",
    "scatter": "Scatter Plot",
    "parallel_coordinates": "Parallel Coordinates Plot",
    "run_comparer": "Run Comparer",
    "images": "Media Browser",
    "table": "Weave",
}


def spec(panel: Panel) -> dict[str, Any]:
    """A panel as W&B stores it."""
    found: dict[str, Any] = (
        wandb_panel(panel)._to_model().model_dump(by_alias=True, exclude_none=True)
    )
    return found


@pytest.mark.parametrize("kind", NAMES)
def test_every_panel_of_a_kind_becomes_one_of_that_kind(kind: str) -> None:
    panels = [p for section in SECTIONS for p in section.panels if p.kind == kind]
    assert panels
    for panel in panels:
        assert spec(panel)["viewType"] == NAMES[kind]
        text = str(spec(panel)["config"])
        assert all(name in text for name in panel.metrics), panel


def test_lines_run_over_steps_and_points_over_the_best_of_a_run() -> None:
    line = spec(Panel("line", "t", ("val_loss", "train_loss"), "nats"))["config"]
    assert (line["xAxis"], line["metrics"]) == (STEP, ["val_loss", "train_loss"])
    assert line["yAxisTitle"] == "nats"
    every_pass = spec(Panel("line", "t", pattern="val_pass_[0-9]+_accuracy"))["config"]
    assert every_pass["metricRegex"] == "val_pass_[0-9]+_accuracy"
    assert every_pass["useMetricRegex"] is True
    points = spec(Panel("scatter", "t", ("params_active", "val_accuracy"), log_x=True))["config"]
    assert points["xAxis"] == "summary:params_active"
    assert points["yAxis"] == "summary:val_accuracy.max"
    assert points["xAxisLogScale"] is True
    columns = spec(Panel("parallel_coordinates", "t", ("val_loss",), settings=("optimizer.lr",)))
    accessors = [column["accessor"] for column in columns["config"]["columns"]]
    assert accessors == ["config:optimizer.value.lr", "summary:val_loss.min"]


def test_a_stored_workspace_is_read_back_with_every_section_and_panel() -> None:
    stored = StoredView.model_validate(specification(VIEW)["workspace"])
    workspace = Workspace._from_model(stored)
    assert (workspace.entity, workspace.project, workspace.name) == ("team", "moe_lab", "Mixtures")
    assert [section.name for section in workspace.sections] == [s.title for s in SECTIONS]
    for section, ours in zip(workspace.sections, SECTIONS, strict=True):
        assert len(section.panels) == len(ours.panels)
    assert workspace.settings.x_axis == STEP
    assert workspace.auto_generate_panels is False


def test_a_stored_report_holds_each_section_with_its_text_and_panels() -> None:
    stored = specification(VIEW)["report"]
    ReportViewspec.model_validate(stored)
    blocks = stored["spec"]["blocks"]
    headings = [b["children"][0]["text"] for b in blocks if b["type"] == "heading"]
    assert headings == [section.title for section in SECTIONS]
    texts = [b["children"][0]["text"] for b in blocks if b["type"] == "paragraph"]
    assert [text for text in texts if text] == [section.text for section in SECTIONS]
    grids = [b["metadata"] for b in blocks if b["type"] == "panel-grid"]
    for grid, section in zip(grids, SECTIONS, strict=True):
        titles = [p["config"].get("chartTitle") for p in grid["panelBankSectionConfig"]["panels"]]
        assert titles == [
            None if panel.kind in ("run_comparer", "table") else panel.title
            for panel in section.panels
        ]


def test_runs_are_grouped_and_chosen_alike_in_workspace_and_report() -> None:
    sent = specification(VIEW)
    blocks = sent["report"]["spec"]["blocks"]
    run_sets = [b["metadata"]["runSets"][0] for b in blocks if b["type"] == "panel-grid"]
    run_sets.append(sent["workspace"]["spec"]["section"]["runSets"][0])
    for runs in run_sets:
        assert runs["grouping"] == [
            {"section": "run", "name": "group"},
            {"section": "config", "name": "choices.value.model"},
        ]
        kept = [
            (f["key"]["section"], f["key"]["name"], f["op"], f["value"])
            for f in runs["filters"]["filters"]
        ]
        assert kept == [
            ("config", "choices.value.model", "=", "sparse"),
            ("config", "seed.value", "=", 0),
            ("run", "group", "=", "a sweep"),
        ]
        (order,) = runs["sort"]["keys"]
        assert order == {
            "key": {"section": "summary", "name": "test_accuracy"}, "ascending": False
        }  # fmt: skip


def test_without_groups_and_filters_every_run_is_drawn_alone() -> None:
    sent = specification(View("team", "moe_lab", "Mixtures"))
    runs = sent["workspace"]["spec"]["section"]["runSets"][0]
    assert (runs["grouping"], runs["filters"]["filters"]) == ([], [])
