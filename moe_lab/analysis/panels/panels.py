"""The one list of panels: what a dashboard shows, whoever draws it. Plain data.

Names are those that training logs: `val_` and `test_` before what an evaluation reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "line", "scalar", "bar", "scatter", "parallel_coordinates", "run_comparer", "images", "table"
]
STEP = "trainer/global_step"  # optimizer steps: the horizontal axis of every line

MOST_BLOCKS_DRAWN = 8  # W&B takes no pattern for pictures

# Which value of a run its summary keeps beside the last one: the best, or of a load the worst.
SUMMARIES = {
    "train_accuracy": "max",
    "train_epoch_loss": "min",
    "train_loss": "min",
    "val_accuracy": "max",
    "val_loss": "min",
    "val_load_cv": "max",
    "val_max_load_share": "max",
    "val_dead_experts": "max",
    "val_mutual_information": "max",
}


@dataclass(frozen=True)
class Panel:
    """One drawing of logged numbers, figures or tables.

    `metrics` are drawn together in a line or bar panel, are x and y of a scatter panel, and the
    last columns of parallel coordinates, after `settings`, which are keys of the configuration.
    """

    kind: Kind
    title: str
    metrics: tuple[str, ...] = ()
    unit: str = ""
    pattern: str = ""  # regular expression in place of the metrics of a line panel
    settings: tuple[str, ...] = ()
    log_x: bool = False


@dataclass(frozen=True)
class Section:
    """Panels that answer one question, and how to read them."""

    title: str
    text: str
    panels: tuple[Panel, ...]


def of(metric: str) -> str:
    """The pattern of a validation's number in every routed block."""
    return f"^val_block_[0-9]+_{metric}$"


def drawn_for(figure: str) -> tuple[str, ...]:
    """The names of a test's figure for the first routed blocks; a run may have fewer."""
    return tuple(f"test_block_{index}_{figure}" for index in range(MOST_BLOCKS_DRAWN))


ACCURACY = Section(
    "Accuracy and loss",
    "Test numbers are those of the best validation's weights, measured once.",
    (
        Panel("scalar", "Test accuracy", ("test_accuracy",)),
        Panel("line", "Accuracy", ("train_accuracy", "val_accuracy"), "share of images"),
        Panel("line", "Loss of an epoch", ("train_epoch_loss", "val_loss"), "nats"),
        Panel("line", "Training loss", ("train_loss",), "all terms, weighted"),
        Panel("line", "Calibration error", ("val_calibration_error",), "share"),
        Panel("bar", "Test accuracy by run", ("test_accuracy",), "share of images"),
        Panel("images", "Confusion", ("test_confusion",)),
    ),
)

ROUTER_HEALTH = Section(
    "Router health",
    "A collapsed router has a high variation of load, a largest share near 1 and a usage entropy "
    "near 0 bits; a balanced one has a usage entropy of log2(experts).",
    (
        Panel("line", "Variation of load", ("val_load_cv",), "standard deviation / mean"),
        Panel("line", "Largest share of the load", ("val_max_load_share",), "share"),
        Panel("line", "Dead experts", ("val_dead_experts",), "experts"),
        Panel("line", "Entropies", ("val_routing_entropy", "val_usage_entropy"), "bits"),
        Panel("line", "Router confidence", ("val_router_confidence",), "probability"),
        Panel("line", "Experts an image", ("val_experts_per_image",), "experts"),
        Panel("scatter", "Variation of load and accuracy", ("test_load_cv", "test_accuracy")),
        Panel("images", "Load", ("test_load",)),
    ),
)

SPECIALISATION = Section(
    "Specialisation",
    "Information between an image's first expert and its class, less what a router without any "
    "knowledge of the classes gets; the null is that bias. A p-value above 0.05 is no "
    "specialisation.",
    (
        Panel(
            "line",
            "Information I(E;Y)",
            ("val_mutual_information", "val_mutual_information_null"),
            "bits",
        ),
        Panel("line", "Specialisation score", ("val_specialisation",), "0 to 1"),
        Panel("bar", "Information I(E;Y) by run", ("test_mutual_information",), "bits"),
        Panel("bar", "Its p-value by run", ("test_mutual_information_p_value",), "p"),
        Panel("scatter", "Information and accuracy", ("test_mutual_information", "test_accuracy")),
        Panel("images", "Class by expert", ("test_class_share",)),
        Panel("table", "Images by first expert and class", ("test_routing",)),
    ),
)

COST = Section(
    "Cost",
    "Active parameters and FLOPs are those that an average test image touches.",
    (
        Panel(
            "scatter", "Active parameters and accuracy", ("params_active", "test_accuracy"),
            log_x=True,
        ),
        Panel(
            "scatter", "FLOPs and accuracy", ("flops_per_image", "test_accuracy"), log_x=True
        ),
        Panel("scatter", "Time and accuracy", ("train_seconds", "test_accuracy")),
        Panel("bar", "Training speed", ("images_per_second",), "images a second"),
        Panel(
            "parallel_coordinates",
            "Settings and accuracy",
            ("params_active", "val_accuracy", "test_accuracy"),
            settings=("choices.model", "choices.router", "optimizer.lr", "dataset.batch_size"),
        ),
        Panel("run_comparer", "Differences between runs"),
    ),
)  # fmt: skip

PASSES = Section(
    "Passes of iterative models",
    "What every further pass repairs and breaks; accuracy rises by the difference.",
    (
        Panel("line", "Accuracy by pass", (), "share of images", r"val_pass_[0-9]+_accuracy"),
        Panel("line", "Repaired by pass", (), "share of images", r"val_pass_[0-9]+_repaired"),
        Panel("line", "Broken by pass", (), "share of images", r"val_pass_[0-9]+_broken"),
        Panel("line", "Agreement with the pass before", ("val_pass_agreement",), "share of images"),
        Panel("line", "Modulation norm by pass", (), "", r"val_pass_[0-9]+_modulation_norm"),
        Panel("line", "Steps taken", ("val_mean_steps",), "steps"),
    ),
)

LAYERED = Section(
    "Routers of networks with several",
    "A network with routed experts in its body logs the numbers of router health and "
    "specialisation for each of its blocks, with the block's name in front.",
    (
        Panel("line", "Variation of load by block", (), "standard deviation / mean", of("load_cv")),
        Panel("line", "Largest share of the load by block", (), "share", of("max_load_share")),
        Panel("line", "Dead experts by block", (), "experts", of("dead_experts")),
        Panel("line", "Routing entropy by block", (), "bits", of("routing_entropy")),
        Panel("line", "Usage entropy by block", (), "bits", of("usage_entropy")),
        Panel("line", "Router confidence by block", (), "probability", of("router_confidence")),
        Panel("line", "Experts an image by block", (), "experts", of("experts_per_image")),
        Panel("line", "Dropped by block", (), "share of (token, expert)", of("dropped_share")),
        Panel("line", "Information I(E;Y) by block", (), "bits", of("mutual_information")),
        Panel("line", "Specialisation score by block", (), "0 to 1", of("specialisation")),
        Panel("images", "Load by block", drawn_for("load")),
        Panel("images", "Class by expert by block", drawn_for("class_share")),
    ),
)

SECTIONS = (ACCURACY, ROUTER_HEALTH, SPECIALISATION, COST, PASSES, LAYERED)
