"""The sections of a dashboard: how to read them, and their panels.

Which metric is drawn in which panel over training is said by the registry of metrics; here stand
the panels that put runs side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import wandb_workspaces.reports.v2 as wr
from wandb_workspaces.reports.v2.interface import PanelTypes

from moe_lab.metrics.description import OF_SPLIT, Metric
from moe_lab.metrics.registry import (
    METRICS,
    STEP_TAG,
    Recorded,
    costs,
    kept_values,
    lookup,
    over_training,
)

MOST_BLOCKS_DRAWN = 8  # W&B takes no pattern for pictures
SETTINGS = ("choices.model", "choices.router", "optimizer.lr", "dataset.batch_size")


@dataclass(frozen=True)
class Section:
    """Panels that answer one question, and how to read them."""

    title: str
    text: str
    panels: Sequence[PanelTypes]


def lines(*groups: str) -> Iterator[PanelTypes]:
    """The metrics of groups over training, in the order of the registry; what a model records for
    each expert, pass, term or layer is found by pattern.
    """
    shown: dict[str, list[Metric]] = {}
    for metric in METRICS:
        if metric.panel and metric.group in groups:
            shown.setdefault(metric.panel, []).append(metric)
    for title, metrics in shown.items():
        panel = wr.LinePlot(title=title, x=STEP_TAG, title_x="optimizer steps")
        panel.title_y = metrics[0].axis or None
        tags = [recorded.tag for metric in metrics for recorded in over_training(metric)]
        if metrics[0].family or metrics[0].by_layer:
            either = "|".join(tag.replace("/", "/([^/]+/)?", 1) for tag in tags)
            panel.metric_regex = f"^({either})$"
        else:
            panel.y = list(tags)
        yield panel


def by_run(name: str) -> PanelTypes:
    """A metric of each run."""
    found = lookup(name)
    title = f"{found.title} by run"
    return wr.BarPlot(title=title, metrics=[found.tag], title_x=found.metric.axis or None)


def against_accuracy(name: str) -> PanelTypes:
    """A metric of a run and its test accuracy."""
    found = lookup(name)
    return wr.ScatterPlot(
        title=f"{found.title} and accuracy", x=of_run(found), y=of_run(lookup("test_accuracy")),
        log_x=found.metric.group == "cost" or None,
    )  # fmt: skip


def of_run(found: Recorded) -> wr.SummaryMetric:
    """The value of a metric that stands for a whole run, as its summary calls it."""
    return wr.SummaryMetric(".".join(filter(None, (found.tag, kept_values().get(found.tag)))))


def parallel_coordinates(*names: str) -> PanelTypes:
    """Settings and what they lead to."""
    column = wr.ParallelCoordinatesPlotColumn
    settings = [column(wr.Config(key), display_name=key) for key in SETTINGS]
    results = [column(of_run(found), display_name=found.label) for found in map(lookup, names)]
    return wr.ParallelCoordinatesPlot(title="Settings and accuracy", columns=[*settings, *results])


def pictures(title: str, name: str, blocks: int = MOST_BLOCKS_DRAWN) -> PanelTypes:
    """A figure of the test, or of each of its first routed blocks; a run may have fewer."""
    of_blocks = (f"test/block_{index}/{name}" for index in range(blocks))
    return wr.MediaBrowser(title=title, media_keys=[f"test/{name}", *of_blocks], num_columns=2)


def sections() -> list[Section]:
    """All sections, with new panels at each call: a page of W&B writes into those it shows."""
    accuracy = wr.ScalarChart(
        title="Test accuracy", metric=lookup("test_accuracy").tag,
        groupby_aggfunc="mean", groupby_rangefunc="stddev",
    )  # fmt: skip
    return [
        Section(
            "Accuracy and loss",
            "Test numbers are those of the best validation's weights, measured once.",
            [
                accuracy, *lines(OF_SPLIT), by_run("test_accuracy"),
                pictures("Confusion", "confusion", blocks=0),
            ],
        ),
        Section(
            "Objective",
            "Every term of the loss without its weight, and what moves over training: learning "
            "rate, temperatures, and weights of terms.",
            list(lines("loss", "schedule")),
        ),
        Section(
            "Router health",
            "A collapsed router has a high load variation, a largest load share near 1 and a usage "
            "entropy near 0 bits; a balanced one has a usage entropy of log2(experts). A network "
            "with several routers has a curve for each.",
            [
                *lines("router", "experts"), against_accuracy("test_load_cv"),
                pictures("Load", "load"),
            ],
        ),
        Section(
            "Specialisation",
            "Information between an image's first expert and its class, less what a router without "
            "any knowledge of the classes gets; the null is that bias. A p-value above 0.05 is no "
            "specialisation.",
            [
                *lines("specialisation"),
                *map(by_run, ("test_mutual_information", "test_mutual_information_p_value")),
                against_accuracy("test_mutual_information"),
                pictures("Class by expert", "class_share"),
                wr.WeavePanelSummaryTable(table_name="test/routing"),
            ],
        ),
        Section(
            "Cost",
            "Active parameters and FLOPs are those that an average test image touches.",
            [
                *map(against_accuracy, costs()), by_run("images_per_second"),
                parallel_coordinates("params_active", "val_accuracy", "test_accuracy"),
                wr.RunComparer(diff_only="split"),
            ],
        ),
        Section(
            "Passes of iterative models",
            "What every further pass repairs and breaks; accuracy rises by the difference.",
            list(lines("passes")),
        ),
    ]  # fmt: skip
