"""Each panel of the list as a panel of W&B."""

from __future__ import annotations

from collections.abc import Callable

import wandb_workspaces.reports.v2 as wr
from wandb_workspaces.reports.v2.interface import PanelTypes

from moe_lab.analysis.panels.panels import STEP, SUMMARIES, Kind, Panel


def wandb_panel(panel: Panel) -> PanelTypes:
    """The panel as wandb-workspaces writes it."""
    return BUILDERS[panel.kind](panel)


def summary_name(metric: str) -> str:
    """What the summary of a run calls the value of a metric that stands for the whole run."""
    kept = SUMMARIES.get(metric)
    return f"{metric}.{kept}" if kept else metric


def line(panel: Panel) -> wr.LinePlot:
    return wr.LinePlot(
        title=panel.title,
        x=STEP,
        y=list(panel.metrics),
        metric_regex=panel.pattern or None,
        title_x="optimizer steps",
        title_y=panel.unit or None,
    )


def scalar(panel: Panel) -> wr.ScalarChart:
    (metric,) = panel.metrics
    return wr.ScalarChart(
        title=panel.title, metric=metric, groupby_aggfunc="mean", groupby_rangefunc="stddev"
    )


def bar(panel: Panel) -> wr.BarPlot:
    return wr.BarPlot(title=panel.title, metrics=list(panel.metrics), title_x=panel.unit or None)


def scatter(panel: Panel) -> wr.ScatterPlot:
    x, y = (wr.SummaryMetric(summary_name(metric)) for metric in panel.metrics)
    return wr.ScatterPlot(title=panel.title, x=x, y=y, log_x=panel.log_x or None)


def parallel_coordinates(panel: Panel) -> wr.ParallelCoordinatesPlot:
    column = wr.ParallelCoordinatesPlotColumn
    settings = [column(metric=wr.Config(key), display_name=key) for key in panel.settings]
    results = [
        column(metric=wr.SummaryMetric(summary_name(name)), display_name=name)
        for name in panel.metrics
    ]
    return wr.ParallelCoordinatesPlot(title=panel.title, columns=[*settings, *results])


def run_comparer(panel: Panel) -> wr.RunComparer:
    return wr.RunComparer(diff_only="split")


def images(panel: Panel) -> wr.MediaBrowser:
    return wr.MediaBrowser(title=panel.title, media_keys=list(panel.metrics), num_columns=2)


def table(panel: Panel) -> wr.WeavePanelSummaryTable:
    (name,) = panel.metrics
    return wr.WeavePanelSummaryTable(table_name=name)


BUILDERS: dict[Kind, Callable[[Panel], PanelTypes]] = {
    "line": line,
    "scalar": scalar,
    "bar": bar,
    "scatter": scatter,
    "parallel_coordinates": parallel_coordinates,
    "run_comparer": run_comparer,
    "images": images,
    "table": table,
}
