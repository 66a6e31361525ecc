"""Say what a trained run does with each image, and which predictions hang on its routing."""

from __future__ import annotations

from moe_lab.analysis.output_folder import output_folder
from moe_lab.commands.eval import check_run
from moe_lab.config.compose import Composition
from moe_lab.config.launch import Command, CommandUsage, check_folder


def analyze(job: Composition) -> None:
    """Write tables, figures and probes of one split."""
    from moe_lab.analysis.analyze_run import analyze_run
    from moe_lab.training.sandbox import at_work

    with at_work():
        analyze_run(job.config)


def check_request(job: Composition) -> None:
    """Refuse a folder that holds no run, or a place that cannot be written to."""
    check_run(job)
    check_folder(output_folder(job.config), "out")


main = Command(
    CommandUsage(
        "analyze",
        __doc__,
        positional=("run",),
        examples=(
            ("moe-lab analyze run=outputs/RUN", "tables, figures and probes of the test"),
            ("moe-lab analyze run=outputs/RUN split=val out=val", "other images, elsewhere"),
            ("moe-lab analyze run=outputs/RUN probes=false plots=false", "tables alone"),
        ),
    ),
    analyze,
    check_request,
)
