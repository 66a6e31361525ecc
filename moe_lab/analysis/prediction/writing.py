"""Predictions as CSV, JSON or NPZ, written while they are made."""

from __future__ import annotations

import csv
import json
import os
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from moe_lab.errors import UserError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Predictions:
    """What a model says about the images of one batch, and what was left out of it."""

    names: Sequence[str]  # [B]
    labels: Sequence[str] | None  # [B] true classes, where known
    probabilities: Floats  # [B, C]
    weights: Mapping[str, Floats]  # layer -> [B, E]
    skipped: Sequence[tuple[str, str]]  # name and reason


class Writer(ABC):
    """One file of predictions. `layers` are the names of the routed layers."""

    def __init__(
        self, file: Path, classes: Sequence[str], layers: Sequence[str], has_labels: bool
    ) -> None:
        self.file, self.classes, self.layers = file, list(classes), list(layers)
        self.has_labels = has_labels

    @abstractmethod
    def add(self, batch: Predictions) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


class CSVWriter(Writer):
    """One row per image: file, label, predicted, confidence, p_CLASS ..., experts and weights of
    each layer, by weight, joined by ";"; files that were skipped have a row with their `error`.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stream: IO[str] = open(self.file, "w", newline="", encoding="utf-8")  # noqa: SIM115
        self.rows = csv.writer(self.stream)
        prefixes = [f"{name}_" if len(self.layers) > 1 else "" for name in self.layers]
        routing = [f"{prefix}{what}" for prefix in prefixes for what in ("experts", "weights")]
        label = ["label"] if self.has_labels else []
        probabilities = [f"p_{name}" for name in self.classes]
        self.columns = ["file", *label, "predicted", "confidence", *probabilities, *routing]
        self.rows.writerow([*self.columns, "error"])

    def add(self, batch: Predictions) -> None:
        best = batch.probabilities.argmax(1) if len(batch.names) else []
        routing = [used_experts(weights) for weights in batch.weights.values()]
        for row, (name, label, answer) in enumerate(
            zip(batch.names, batch.labels or batch.names, best, strict=True)
        ):
            probabilities = [f"{value:.6g}" for value in batch.probabilities[row]]
            used = [cell for layer in routing for cell in joined_cells(layer[row])]
            start = [name, label] if self.has_labels else [name]
            answered = [self.classes[answer], probabilities[answer]]
            self.rows.writerow([*start, *answered, *probabilities, *used, ""])
        for name, why in batch.skipped:
            self.rows.writerow([name, *[""] * (len(self.columns) - 1), why])

    def close(self) -> None:
        self.stream.close()


def used_experts(weights: Floats) -> list[list[tuple[int, float]]]:
    """The experts of each image with their weights, the largest first. [B, E] -> [B]"""
    order = np.argsort(-weights, axis=1, kind="stable")
    return [
        [(int(expert), float(row[expert])) for expert in own if row[expert] != 0]
        for row, own in zip(weights, order, strict=True)
    ]


def joined_cells(used: Sequence[tuple[int, float]]) -> tuple[str, str]:
    """`3;5` and `0.62;0.38`."""
    return ";".join(str(expert) for expert, _ in used), ";".join(f"{w:.6g}" for _, w in used)


class JSONWriter(Writer):
    """{"classes", "layers", "predictions": [one object per image], "skipped": [file and error]}"""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stream: IO[str] = open(self.file, "w", encoding="utf-8")  # noqa: SIM115
        about = json.dumps({"classes": self.classes, "layers": self.layers}, ensure_ascii=False)
        self.stream.write(about[:-1] + ', "predictions": [')
        self.separator = "\n"
        self.skipped: list[dict[str, str]] = []

    def add(self, batch: Predictions) -> None:
        routing = {name: used_experts(weights) for name, weights in batch.weights.items()}
        for row, name in enumerate(batch.names):
            values = [float(f"{value:.6g}") for value in batch.probabilities[row]]
            best = int(batch.probabilities[row].argmax())
            entry: dict[str, Any] = {"file": name}
            if batch.labels is not None:
                entry["label"] = batch.labels[row]
            entry |= {"predicted": self.classes[best], "confidence": values[best]}
            entry["probabilities"] = dict(zip(self.classes, values, strict=True))
            entry["experts"] = {
                layer: {str(expert): float(f"{weight:.6g}") for expert, weight in used[row]}
                for layer, used in routing.items()
            }
            self.stream.write(self.separator + json.dumps(entry, ensure_ascii=False))
            self.separator = ",\n"
        self.skipped += [{"file": name, "error": why} for name, why in batch.skipped]

    def close(self) -> None:
        skipped = json.dumps(self.skipped, ensure_ascii=False)
        self.stream.write(f'\n], "skipped": {skipped}}}\n')
        self.stream.close()


class NPZWriter(Writer):
    """Arrays: files [N], label [N], predicted [N], probabilities [N, C], weights_LAYER [N, E],
    classes [C], skipped [M], errors [M].
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # On disk until the end: an archive takes one array after the other, whole.
        self.folder = tempfile.TemporaryDirectory()
        self.parts: dict[str, tuple[IO[bytes], int]] = {}
        self.texts: dict[str, list[str]] = {"files": [], "label": [], "skipped": [], "errors": []}

    def add(self, batch: Predictions) -> None:
        self.texts["files"] += batch.names
        self.texts["label"] += batch.labels or []
        self.texts["skipped"] += [name for name, _ in batch.skipped]
        self.texts["errors"] += [why for _, why in batch.skipped]
        weights = {f"weights_{name}": rows for name, rows in batch.weights.items()}
        for name, rows in {"probabilities": batch.probabilities, **weights}.items():
            if name not in self.parts:
                place = Path(self.folder.name) / str(len(self.parts))
                self.parts[name] = (open(place, "wb"), rows.shape[1])  # noqa: SIM115
            self.parts[name][0].write(np.ascontiguousarray(rows, np.float32).tobytes())

    def close(self) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        for name, (stream, width) in self.parts.items():
            stream.close()
            shape = (len(self.texts["files"]), width)
            is_empty = 0 in shape
            arrays[name] = (
                np.empty(shape, np.float32)
                if is_empty
                else np.memmap(stream.name, np.float32, "r", shape=shape)
            )
        texts = {name: np.array(own, np.str_) for name, own in self.texts.items()}
        if not self.has_labels:
            texts.pop("label")
        classes = np.array(self.classes, np.str_)
        best = arrays["probabilities"].argmax(1) if "probabilities" in arrays else []
        predicted = classes[np.asarray(best, np.int64)]
        with open(self.file, "wb") as stream:
            np.savez(stream, **texts, predicted=predicted, classes=classes, **arrays)  # type: ignore[arg-type]
        self.folder.cleanup()


WRITERS: dict[str, type[Writer]] = {".csv": CSVWriter, ".json": JSONWriter, ".npz": NPZWriter}


@contextmanager
def writer_of(
    file: Path, classes: Sequence[str], layers: Sequence[str], has_labels: bool
) -> Iterator[Writer]:
    """A writer for the ending of the file, which appears under its name once it is whole."""
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        writer = WRITERS[file.suffix.lower()](partial, classes, layers, has_labels)
        yield writer
        writer.close()
        os.replace(partial, file)
    except OSError as error:
        raise UserError(
            f"cannot write {file}: {error.strerror or error}", "free space and write permission"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
