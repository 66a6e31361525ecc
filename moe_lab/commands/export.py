"""Export a run's model, with a parity report and a model card."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from moe_lab.commands.eval import check_run
from moe_lab.config.compose import Composition
from moe_lab.config.launch import Command, CommandUsage, check_folder
from moe_lab.errors import ConfigError

PACKAGES = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "torch_export": (),
    "safetensors": ("safetensors",),
}


def export(job: Composition) -> int:
    """Write the model, compare it with the run's; 1 where they differ by more than the
    tolerance.
    """
    from moe_lab.analysis.export.export_run import export_run
    from moe_lab.training.sandbox import at_work

    with at_work():
        return 0 if export_run(job.config, output_folder(job)) else 1


def output_folder(job: Composition) -> Path:
    """`out`, or a folder of the run named for the format."""
    config = job.config
    default = Path(str(config.run)) / f"export_{config.format}"
    return default if config.out is None else Path(str(config.out)).expanduser()


def check_request(job: Composition) -> None:
    """Refuse a folder that holds no run, a package that is missing, and other people's files."""
    check_run(job)
    missing = [name for name in PACKAGES[job.config.format] if not importlib.util.find_spec(name)]
    if missing:
        raise ConfigError(
            f"format={job.config.format} needs {', '.join(missing)}, which is not installed",
            todo='pip install -c constraints.txt -e ".[export]"',
        )
    out = output_folder(job)
    check_folder(out, "out")
    if out.is_dir() and any(out.iterdir()) and not (out / "report.json").is_file():
        raise ConfigError(
            f"out={out} holds something else than an export",
            "a new or empty folder, or that of an earlier export",
            "choose another out",
        )


main = Command(
    CommandUsage(
        "export",
        __doc__,
        positional=("run",),
        examples=(
            ("moe-lab export outputs/RUN", "ONNX, in the run's folder export_onnx"),
            ("moe-lab export outputs/RUN format=safetensors out=FOLDER", "weights and config"),
        ),
    ),
    export,
    check_request,
)
