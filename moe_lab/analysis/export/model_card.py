"""The README.md beside an exported model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HOW_TO_LOAD = {
    "onnx": """import numpy, onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
images = numpy.zeros((1, {shape}), numpy.{input})
probabilities, *weights = session.run(None, {{"images": images}})""",
    "torch_export": """import torch
model = torch.export.load("model.pt2").module()
probabilities, *weights = model(torch.zeros(1, {shape}, dtype=torch.{input}))""",
    "safetensors": """import moe_lab
classifier = moe_lab.load("FOLDER")
probabilities = classifier.predict(images)""",
}

EVERY_EXPERT = "A recorded graph evaluates every expert, and costs what all of them cost."


def model_card(
    report: Mapping[str, Any],
    summary: Mapping[str, Any],
    config: Mapping[str, Any],
    classes: Sequence[str],
) -> str:
    """What it is, what it reads, how good it is, what it costs, how it is loaded."""
    dataset = config["dataset"]
    channels, height, width = dataset["shape"]
    shape = f"{channels}, {height}, {width}"
    pixels = "uint8 from 0 to 255" if report["input"] == "uint8" else "float32 from 0 to 1"
    choices = summary.get("choices", {})
    parts = [f"{group} `{choices[group]}`" for group in ("router", "expert") if group in choices]
    kind = report["format"]
    code = HOW_TO_LOAD[kind].format(shape=shape, input=report["input"])
    worst = max(row["max_difference"] for row in report["parity"])
    mean, std = (", ".join(f"{value:.4f}" for value in dataset[key]) for key in ("mean", "std"))
    accuracy = summary.get("test_accuracy")
    measured = "not measured" if accuracy is None else f"{100 * accuracy:.2f} %"
    size = f", cropped to a square of {dataset['image_size']}" if dataset.get("image_size") else ""
    outputs = "".join(f", `{name}` [batch, experts]" for name in report["outputs"][1:])
    recorded = "" if kind == "safetensors" else EVERY_EXPERT
    return f"""# {summary.get("run_name", summary.get("model", "model"))}

A classifier of images, model `{summary.get("model")}`{"".join(f", {part}" for part in parts)},
made with moe_lab {report["moe_lab"]} and exported as {kind}.

**Classes** ({len(classes)}): {", ".join(classes)}

**Input** `images` [batch, {shape}]: {pixels}{size}. Division by 255 and normalisation
(mean {mean}; standard deviation {std}) are part of the model. Pictures of another size:
scale the shorter side and crop the centre.

**Output** `probabilities` [batch, {len(classes)}]{outputs}.

**Measured.** Test accuracy {measured}, one training run (seed {summary.get("seed")}), so without
an interval. Data: {summary.get("data_copy")}
(fingerprint {summary.get("data_fingerprint")}).

**Costs** of the original: {summary.get("params_total", 0):,} parameters,
{summary.get("params_active", 0):,.0f} active per image,
{summary.get("flops_per_image", 0):,.0f} FLOPs per image. {recorded}

**Parity** with the original on {report["images"]} images: largest difference {worst:.1e}
(tolerance {report["tolerance"]:g}); see report.json.

**Load**

```python
{code}
```
"""
