"""Writes a model in each format, and opens what was written as a function of numpy arrays."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moe_lab.analysis.export.pixel_model import PixelModel
from moe_lab.dispatch import fixed_shapes
from moe_lab.errors import UserError
from moe_lab.training.load_run import load

Arrays = list[NDArray[np.float32]]
Opened = Callable[[Tensor], Arrays]
FILES = {"onnx": "model.onnx", "torch_export": "model.pt2", "safetensors": "model.safetensors"}


def write(model: PixelModel, kind: str, example: Tensor, names: Sequence[str], out: Path) -> None:
    """The file of a format; UserError names what cannot be exported, and why."""
    if kind == "safetensors":
        from safetensors.torch import save_file

        # Each tensor in memory of its own: the format refuses those that share any.
        state = {
            name: value.detach().clone().contiguous()
            for name, value in model.classifier.state_dict().items()
            if not name.startswith("objective.")
        }
        save_file(state, out / FILES[kind])
        config = json.dumps(without_places(model.classifier.config), indent=2)
        (out / "config.json").write_text(config + "\n", encoding="utf-8")
        return
    with silent():
        try:
            program = recorded(model, example)
            if kind == "torch_export":
                torch.export.save(program, out / FILES[kind])
            else:
                exported = torch.onnx.export(
                    program,
                    (example,),
                    dynamo=True,
                    input_names=["images"],
                    output_names=list(names),
                    verbose=False,
                )
                assert exported is not None
                exported.save(out / FILES[kind])
        except Exception as error:  # neither exporter has one class of error
            name = type(model.classifier.model).__name__
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(
                f"{name} cannot be exported as {kind}: {lines[0]}",
                "a model whose steps do not depend on the values of its images",
                "format=safetensors holds any model",
            ) from error


def recorded(model: PixelModel, example: Tensor) -> torch.export.ExportedProgram:
    """The graph of a model for any number of images."""
    batch = torch.export.Dim("batch", min=1)
    with fixed_shapes(), torch.no_grad():
        return torch.export.export(
            model,
            (example,),
            dynamic_shapes=({0: batch},),
            prefer_deferred_runtime_asserts_over_guards=True,
        )


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without the exporters' remarks on themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def without_places(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the folders of the machine that it was trained on."""
    content: dict[str, Any] = json.loads(json.dumps(config))
    content["run_dir"] = "."
    for node in (content.get("dataset", {}), content.get("dataset", {}).get("source", {})):
        if node.get("root"):
            node["root"] = "data"
    return content


def opened(kind: str, out: Path) -> Opened:
    """What was written, as a function from images to the outputs of `PixelModel`."""
    if kind == "onnx":
        return opened_onnx(out / FILES[kind])
    if kind == "torch_export":
        return as_function(torch.export.load(out / FILES[kind]).module())
    return as_function(PixelModel(load(out)))


def opened_onnx(file: Path) -> Opened:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    return lambda images: list(session.run(None, {"images": images.numpy()}))


def as_function(module: torch.nn.Module) -> Opened:
    @torch.inference_mode()
    def run(images: Tensor) -> Arrays:
        return [value.numpy() for value in module(images)]

    return run
