"""wandb-workspaces takes the panel list, and gives it back as it was."""

from __future__ import annotations

import re
from typing import Any

from omegaconf import OmegaConf
from wandb_workspaces.reports.v2.interface import PanelTypes
from wandb_workspaces.reports.v2.internal import ReportViewspec
from wandb_workspaces.workspaces import Workspace
from wandb_workspaces.workspaces.internal import View as StoredView

from moe_lab.analysis.panels.panel_list import (
    against_accuracy,
    lines,
    of_run,
    parallel_coordinates,
    sections,
)
from moe_lab.analysis.panels.show import specification
from moe_lab.metrics.description import OF_SPLIT
from moe_lab.metrics.registry import STEP_TAG, lookup

VIEW: dict[str, Any] = {
    "entity": "team", "project": "moe_lab", "title": "Mixtures",
    "group_by": ["group", "choices.model"],
    "filters": ["choices.model:sparse", "seed:0", "group:a sweep"],
}  # fmt: skip
SECTIONS = sections()


def sent(**changes: Any) -> dict[str, Any]:
    """Workspace and report as W&B would store them."""
    return specification(OmegaConf.create({**VIEW, **changes}))


def config_of(panel: PanelTypes) -> dict[str, Any]:
    """A panel as W&B stores it."""
    stored = panel._to_model().model_dump(by_alias=True, exclude_none=True)
    found: dict[str, Any] = stored["config"]
    return found


def test_lines_run_over_steps_and_have_a_pattern_where_a_model_decides_how_many() -> None:
    panels = {str(panel.title): panel for panel in lines(OF_SPLIT, "router", "passes")}
    loss = config_of(panels["Loss"])
    assert (loss["xAxis"], loss["metrics"]) == (STEP_TAG, ["train/epoch_loss", "val/loss"])
    assert loss["yAxisTitle"] == "nats"
    load = config_of(panels["Load variation"])
    assert load["metricRegex"] == "^(router/([^/]+/)?load_cv)$"
    assert load["useMetricRegex"] is True
    every_pass = config_of(panels["Accuracy by pass"])
    assert re.search(every_pass["metricRegex"], "passes/pass_12_accuracy")
    assert not re.search(every_pass["metricRegex"], "passes/pass_12_broken")


def test_points_and_columns_take_the_best_of_a_run() -> None:
    points = config_of(against_accuracy("params_active"))
    assert (points["xAxis"], points["yAxis"]) == (
        "summary:cost/params_active",
        "summary:test/accuracy",
    )
    assert points["xAxisLogScale"] is True
    assert "xAxisLogScale" not in config_of(against_accuracy("test_load_cv"))
    columns = config_of(parallel_coordinates("val_loss"))["columns"]
    assert [column["accessor"] for column in columns][-2:] == [
        "config:dataset.value.batch_size", "summary:val/loss.min",
    ]  # fmt: skip
    assert of_run(lookup("val_load_cv")).name == "router/load_cv.max"  # the worst, as load goes


def test_a_stored_workspace_is_read_back_with_every_section_and_panel() -> None:
    stored = StoredView.model_validate(sent()["workspace"])
    workspace = Workspace._from_model(stored)
    assert (workspace.entity, workspace.project, workspace.name) == ("team", "moe_lab", "Mixtures")
    assert [section.name for section in workspace.sections] == [s.title for s in SECTIONS]
    for section, ours in zip(workspace.sections, SECTIONS, strict=True):
        assert len(section.panels) == len(ours.panels)
    assert workspace.settings.x_axis == STEP_TAG
    assert workspace.auto_generate_panels is False


def test_a_stored_report_holds_each_section_with_its_text_and_panels() -> None:
    stored = sent()["report"]
    ReportViewspec.model_validate(stored)
    blocks = stored["spec"]["blocks"]
    headings = [b["children"][0]["text"] for b in blocks if b["type"] == "heading"]
    assert headings == [section.title for section in SECTIONS]
    texts = [b["children"][0]["text"] for b in blocks if b["type"] == "paragraph"]
    assert [text for text in texts if text] == [section.text for section in SECTIONS]
    grids = [b["metadata"] for b in blocks if b["type"] == "panel-grid"]
    for grid, section in zip(grids, SECTIONS, strict=True):
        titles = [p["config"].get("chartTitle") for p in grid["panelBankSectionConfig"]["panels"]]
        assert titles == [getattr(panel, "title", None) for panel in section.panels]


def test_runs_are_grouped_and_chosen_alike_in_workspace_and_report() -> None:
    pages = sent()
    blocks = pages["report"]["spec"]["blocks"]
    run_sets = [b["metadata"]["runSets"][0] for b in blocks if b["type"] == "panel-grid"]
    run_sets.append(pages["workspace"]["spec"]["section"]["runSets"][0])
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
            "key": {"section": "summary", "name": "test/accuracy"}, "ascending": False
        }  # fmt: skip


def test_without_groups_and_filters_every_run_is_drawn_alone() -> None:
    runs = sent(group_by=[], filters=[])["workspace"]["spec"]["section"]["runSets"][0]
    assert (runs["grouping"], runs["filters"]["filters"]) == ([], [])
