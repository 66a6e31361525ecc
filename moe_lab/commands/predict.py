"""Predict classes of picture files, a folder or a data set with a run's weights."""

from __future__ import annotations

from moe_lab.analysis.prediction.request import FORMATS, named_images, output_file, sheet_file
from moe_lab.commands.eval import check_run
from moe_lab.config.compose import Composition
from moe_lab.config.launch import Command, CommandUsage, check_folder
from moe_lab.errors import ConfigError


def predict(job: Composition) -> int:
    """Write one row per image; 1 where no image could be read."""
    from moe_lab.analysis.prediction.predict_images import predict_images
    from moe_lab.training.sandbox import at_work

    with at_work():
        return 0 if predict_images(job.config).num_read else 1


def check_request(job: Composition) -> None:
    """Refuse a folder that holds no run, images that are not there and a place that cannot be
    written to.
    """
    check_run(job)
    named_images(job.config)
    out = output_file(job.config)
    if out.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"out={out} ends in {out.suffix or 'nothing'}",
            "a file that ends in .csv, .json or .npz: the ending says the format",
        )
    check_folder(out.parent, "out")
    sheet = sheet_file(job.config)
    if sheet is not None:
        if sheet.suffix.lower() != ".png":
            raise ConfigError(f"sheet={sheet} is no PNG file", "true, false or a file *.png")
        check_folder(sheet.parent, "sheet")


main = Command(
    CommandUsage(
        "predict",
        __doc__,
        positional=("run", "images..."),
        examples=(
            ("moe-lab predict outputs/RUN pictures out=found.csv", "all pictures of a folder"),
            ("moe-lab predict outputs/RUN a.png b.jpg sheet=true", "files, and a contact sheet"),
            ("moe-lab predict outputs/RUN test out=test.npz", "the test images of the run"),
        ),
    ),
    predict,
    check_request,
)
