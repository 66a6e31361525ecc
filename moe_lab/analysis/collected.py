"""Predictions of a model on a whole split as numpy arrays: what plots, tables and probes read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moe_lab.data.resident import Batch, domain_of
from moe_lab.outputs import IterativeOutput, MixtureOutput, Output
from moe_lab.training.classifier import Classifier

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
ROUTING_PARTS = ("logits", "probs", "weights")


@dataclass(frozen=True)
class LayerRecords:
    """One routing of the model; B is all images of the split."""

    logits: Floats  # [B, E]
    probs: Floats  # [B, E]
    weights: Floats  # [B, E] exactly 0 where an expert was not used

    @property
    def num_experts(self) -> int:
        return self.weights.shape[1]

    @property
    def first(self) -> Whole:
        """The expert with the largest weight of each image, [B]."""
        return self.weights.argmax(1).astype(np.int64)


@dataclass(frozen=True)
class Records:
    """Predictions and routing of every image of a split, in the split's order."""

    class_names: tuple[str, ...]
    target: Whole  # [B]
    log_probs: Floats  # [B, C]
    layers: Mapping[str, LayerRecords]  # by name of the layer; empty without experts
    expert_log_probs: Floats | None = None  # [B, E, C], if asked for and there are experts
    pass_log_probs: Floats | None = None  # [T, B, C] of models of several passes
    modulation_norm: Floats | None = None  # [T, B]
    steps: Floats | None = None  # [B] passes taken, of models that halt

    @property
    def predicted(self) -> Whole:
        """The predicted class, [B]."""
        return self.log_probs.argmax(1).astype(np.int64)

    @property
    def correct(self) -> NDArray[np.bool_]:
        return self.predicted == self.target


def collect(
    classifier: Classifier,
    batches: Iterable[Batch],
    class_names: Iterable[str],
    every_expert: bool = False,
) -> Records:
    """Run a classifier over normalised batches; labels are only written down."""
    was_training = classifier.model.training
    classifier.model.eval()
    parts: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        for batch in batches:
            images, target, *_ = batch
            domain = domain_of(batch)
            told = {} if domain is None else {"domain": domain}
            output: Output = classifier(images, every_expert=every_expert, **told)
            for name, value in fields(output).items():
                parts.setdefault(name, []).append(value.float().cpu())
            parts.setdefault("target", []).append(target.cpu())
    classifier.model.train(was_training)
    whole = {
        name: torch.cat(values, int(name in ("pass_log_probs", "modulation_norm"))).numpy()
        for name, values in parts.items()
    }
    names = [key.removeprefix("weights/") for key in whole if key.startswith("weights/")]
    layers = {
        name: LayerRecords(*(whole.pop(f"{part}/{name}") for part in ROUTING_PARTS))
        for name in names
    }
    return Records(tuple(class_names), layers=layers, **whole)


def fields(output: Output) -> dict[str, Tensor]:
    """What is kept of one batch, by name."""
    found: dict[str, Tensor | None] = {"log_probs": output.log_probs}
    for name, routing in output.routings.items():
        found |= {f"{part}/{name}": getattr(routing, part) for part in ROUTING_PARTS}
    if isinstance(output, MixtureOutput):
        found["expert_log_probs"] = output.expert_log_probs
    if isinstance(output, IterativeOutput):
        found["pass_log_probs"] = output.pass_log_probs
        found["modulation_norm"] = output.modulation_norm
    found["steps"] = getattr(output, "steps", None)
    return {name: value for name, value in found.items() if value is not None}
