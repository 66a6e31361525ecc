"""Predicts images of any kind with the weights of a run, batch by batch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from moe_lab.analysis.opened_run import refuse_other_data
from moe_lab.analysis.page.run_files import read_json
from moe_lab.analysis.prediction.contact_sheet import ContactSheet
from moe_lab.analysis.prediction.fitting import Changes, Fitting
from moe_lab.analysis.prediction.request import NamedImages, named_images, output_file, sheet_file
from moe_lab.analysis.prediction.streams import (
    ImageBatch,
    ImageStream,
    stream_files,
    stream_tensor,
)
from moe_lab.analysis.prediction.writing import Predictions, writer_of
from moe_lab.config.compose import compose_words
from moe_lab.config.typed import from_here
from moe_lab.data import ImageData
from moe_lab.errors import ConfigError
from moe_lab.outputs import Output
from moe_lab.training.build import build_data
from moe_lab.training.classifier import Classifier
from moe_lab.training.load_run import load
from moe_lab.training.run_directory import RunDirectory

MOST_NAMED = 10  # skipped files that the screen names; the output names all
LINES = 10  # of progress, where there is no terminal


@dataclass
class Outcome:
    """What came of a request."""

    num_read: int = 0
    num_labelled: int = 0
    num_right: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)


def predict_images(request: DictConfig) -> Outcome:
    """Class probabilities and routing of all images that can be read, in the file `out`."""
    run = RunDirectory(str(request.run))
    classifier = load(run.path, request.checkpoint).to(device_of(request.device))
    classes = class_names_of(run, classifier)
    stream = stream_of(request, run, classifier)
    layers = list(routed_layer_names(classifier))
    file, sheet_place = output_file(request), sheet_file(request)
    sheet = ContactSheet(stream.total, request.sheet_images, classes)
    outcome = Outcome()
    has_labels = not named_images(request).paths
    with writer_of(file, classes, layers, has_labels) as writer:
        for batch in with_progress(stream):
            said = predictions_of(classifier, batch)
            writer.add(said)
            sheet.add(batch, said)
            count(outcome, batch, said, classes)
    if sheet_place is not None and outcome.num_read:
        sheet.save(sheet_place)
    for note in (*stream.notes, *outcome.changes.sentences(outcome.num_read)):
        print(note)
    print_outcome(outcome, stream.total)
    print(f"predictions: {from_here(file)}")
    if sheet_place is not None and outcome.num_read:
        print(f"contact sheet: {from_here(sheet_place)}")
    return outcome


def device_of(name: str) -> torch.device:
    """`auto` takes a GPU where there is one; ConfigError where there is none to insist on."""
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise ConfigError("device=cuda, but torch finds no GPU", todo="use device=auto or cpu")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def class_names_of(run: RunDirectory, classifier: Classifier) -> list[str]:
    """The names that the run recorded, or numbers."""
    names = read_json(run.tables).get("class_names")
    number = int(classifier.config["dataset"]["num_classes"])
    return [str(name) for name in names or range(number)]


def routed_layer_names(classifier: Classifier) -> list[str]:
    """The names of the routings in an output, found by asking about a blank image."""
    blank = torch.zeros(2, *classifier.config["dataset"]["shape"], device=classifier.mean.device)
    with torch.inference_mode():
        output: Output = classifier(blank)
    return list(output.routings)


def stream_of(request: DictConfig, run: RunDirectory, classifier: Classifier) -> ImageStream:
    """The images that the request names, as batches of the model's shape."""
    named = named_images(request)
    dataset = classifier.config["dataset"]
    fitting = Fitting(*dataset["shape"])
    if named.paths:
        if dataset["name"] == "toy2d":
            raise ConfigError(
                "the run was trained on points in a square (dataset=toy2d), not on pictures",
                "images=test, val or train",
            )
        white = request.white if request.white is not None else dataset.get("white")
        return stream_files(named.paths, fitting, white, request.batch_size)
    data = data_of(request, run, named)
    split = named.split or request.split
    images, labels = data.prepare().parts[split]
    names = [data.class_names[label] for label in labels.tolist()]
    return stream_tensor(images, names, f"{data.name}/{split}", fitting, request.batch_size)


def data_of(request: DictConfig, run: RunDirectory, named: NamedImages) -> ImageData:
    """The run's own data, or those of another option; nothing is trained on them."""
    if named.dataset is None:
        config = OmegaConf.create(run.read_config())
    else:
        config = compose_words("train", [f"dataset={named.dataset}"]).config
    if request.root is not None:
        config.dataset.root = request.root
        if "root" in config.dataset.source:
            config.dataset.source.root = request.root
    data = build_data(config)
    data.prepare()
    if named.dataset is None:
        refuse_other_data(run, data.fingerprint)
    return data


@torch.inference_mode()
def predictions_of(classifier: Classifier, batch: ImageBatch) -> Predictions:
    """Probabilities and weights of a batch, as numpy arrays."""
    if not batch.names:
        nothing = torch.zeros(0, int(classifier.config["dataset"]["num_classes"])).numpy()
        return Predictions([], None, nothing, {}, batch.skipped)
    output: Output = classifier(normalised(classifier, batch.images))
    weights = {
        name: routing.weights.float().cpu().numpy() for name, routing in output.routings.items()
    }
    probabilities = output.log_probs.float().exp().cpu().numpy()
    return Predictions(batch.names, batch.labels, probabilities, weights, batch.skipped)


def normalised(classifier: Classifier, images: Tensor) -> Tensor:
    """uint8 [B, channels, height, width] -> what the model reads."""
    pixels = images.to(classifier.mean.device).float().div_(255)
    mean, std = (own.view(-1, 1, 1) for own in (classifier.mean, classifier.std))
    return pixels.sub_(mean).div_(std)


def count(outcome: Outcome, batch: ImageBatch, said: Predictions, classes: list[str]) -> None:
    """Add a batch to what came of the request."""
    outcome.num_read += len(batch.names)
    outcome.skipped += batch.skipped
    outcome.changes.add(batch.changes)
    if batch.labels is not None:
        answered = [classes[best] for best in said.probabilities.argmax(1)]
        known = [(a, b) for a, b in zip(batch.labels, answered, strict=True) if a in classes]
        outcome.num_labelled += len(known)
        outcome.num_right += sum(label == answer for label, answer in known)


def print_outcome(outcome: Outcome, total: int) -> None:
    """How many images were read, how many answers are right, and which files were skipped."""
    print(f"{outcome.num_read:,} of {total:,} images predicted")
    if outcome.num_labelled:
        share = 100 * outcome.num_right / outcome.num_labelled
        print(
            f"{share:.2f} % right: {outcome.num_right:,} of {outcome.num_labelled:,} whose true "
            "class is one of the run's"
        )
    if outcome.skipped:
        print(f"{len(outcome.skipped):,} skipped, which could not be read:", file=sys.stderr)
        for name, why in outcome.skipped[:MOST_NAMED]:
            print(f"  {name}: {why}", file=sys.stderr)
        if len(outcome.skipped) > MOST_NAMED:
            more = len(outcome.skipped) - MOST_NAMED
            print(f"  and {more:,} more, all named in the output", file=sys.stderr)


def with_progress(stream: ImageStream) -> Iterator[ImageBatch]:
    """A bar on a terminal, at most ten plain lines otherwise, both on stderr."""
    done = 0
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task: Any = bar.add_task("predicting", total=stream.total)
            for batch in stream.batches:
                yield batch
                bar.advance(task, len(batch.names) + len(batch.skipped))
        return
    said = 0
    for batch in stream.batches:
        yield batch
        done += len(batch.names) + len(batch.skipped)
        if done * LINES // max(1, stream.total) > said and done < stream.total:
            said = done * LINES // stream.total
            print(f"predicted {done:,} of {stream.total:,}", file=sys.stderr, flush=True)
