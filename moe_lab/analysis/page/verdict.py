"""What came out of a run, in sentences that claim no more than its numbers carry."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from scipy import stats

from moe_lab.analysis.page.layers import Layer, layers_of
from moe_lab.training.health.collapse import LEAST_ENTROPY, most_weight

EVEN_CV = 0.3  # load is even where experts differ by less than this from their fair share
SIGNIFICANT = 0.05
SLIGHT = 0.05  # of the adjusted mutual information: experts hardly differ by class


def verdict(
    summary: Mapping[str, Any], tables: Mapping[str, Any], num_images: int | None = None
) -> str:
    """A few sentences on how a run ended, its accuracy, its routers and what its experts divide.

    `num_images` is the size of the test split; the confusion matrix in `tables` goes before it.
    """
    return " ".join(sentences(summary, tables, num_images))


def sentences(
    summary: Mapping[str, Any], tables: Mapping[str, Any], num_images: int | None
) -> Iterator[str]:
    """The verdict, sentence by sentence."""
    yield from ending(summary)
    if summary.get("test_accuracy") is not None:
        yield accuracy_sentence(summary["test_accuracy"], tables.get("confusion"), num_images)
    yield from passes_sentence(summary)
    layers = layers_of(summary, tables)
    for layer in layers:
        yield health_sentence(layer)
        yield from specialisation_sentence(layer)
    if not layers and summary.get("test_accuracy") is not None:
        yield "It has no router to judge."


def ending(summary: Mapping[str, Any]) -> Iterator[str]:
    """How the run ended, where that was not as it should."""
    status = summary.get("status")
    if status is None:
        yield "The run has left no result: it is still going, or was killed."
    elif status == "failed":
        yield f"The run failed: {summary.get('error', 'no reason was recorded')}"
    elif status in ("interrupted", "pruned"):
        epochs = summary.get("epochs", 0)
        count = f"{epochs} epoch{'' if epochs == 1 else 's'}"
        why = "" if status == "interrupted" else ", as worse than other trials at the same step"
        yield f"The run was stopped after {count}{why}, so the test images were not read."
        if summary.get("val_accuracy") is not None:
            yield f"Its last validation gave {percent(summary['val_accuracy'])}."
    elif summary.get("test_accuracy") is None and summary.get("val_accuracy") is not None:
        yield (
            f"It is right on {percent(summary['val_accuracy'])} of the validation images; a trial "
            "of a search does not read the test images."
        )


def wilson_interval(accuracy: float, num_images: int) -> tuple[float, float]:
    """The binomial 95 % interval of an accuracy (Wilson 1927)."""
    right = round(accuracy * num_images)
    interval = stats.binomtest(right, num_images).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy_sentence(
    accuracy: float, confusion: list[list[int]] | None, num_images: int | None
) -> str:
    if confusion:
        num_images = sum(map(sum, confusion))
    if not num_images:
        return f"It is right on {percent(accuracy)} of the test images."
    low, high = wilson_interval(accuracy, num_images)
    said = (
        f"It is right on {percent(accuracy)} of {num_images:,} test images "
        f"(95 % interval {100 * low:.1f} to {percent(high)})"
    )
    likeliest = max(map(sum, confusion)) / num_images if confusion else 0.0
    if low <= likeliest:
        said += f", no better than always naming the commonest class ({percent(likeliest)})"
    return f"{said}."


def passes_sentence(summary: Mapping[str, Any]) -> Iterator[str]:
    """What a further pass was good for, of a model that has several."""
    accuracies = pass_accuracies(summary)
    if len(accuracies) > 1:
        first, last = accuracies[0], accuracies[-1]
        yield (
            f"From the first to the last of {len(accuracies)} passes, "
            f"accuracy goes from {100 * first:.1f} to {percent(last)}."
        )


def pass_accuracies(summary: Mapping[str, Any]) -> list[float]:
    """Accuracy after each pass, from the first on."""
    accuracies: list[float] = []
    while (value := summary.get(f"pass_{len(accuracies) + 1}_accuracy")) is not None:
        accuracies.append(value)
    return accuracies


def health_of(layer: Layer) -> str:
    """`unknown`, `single`, `collapsed`, `dead`, `all` (no choice is made), `uneven` or `even`."""
    experts, values = layer.num_experts, layer.values
    if experts is None:
        return "unknown"
    if experts == 1:
        return "single"
    if is_collapsed(layer, experts):
        return "collapsed"
    if values["dead_experts"] > 0:
        return "dead"
    if values["experts_per_image"] >= experts:
        return "all"
    return "uneven" if values["load_cv"] > EVEN_CV else "even"


def is_collapsed(layer: Layer, experts: int) -> bool:
    """The rule of the alarm during training (see `moe_lab.training.health.sign_of_collapse`)."""
    values = layer.values
    few = values["usage_entropy"] < LEAST_ENTROPY * math.log2(experts)
    heavy = values["max_load_share"] > most_weight(experts)
    fair = values["experts_per_image"] / experts
    busy = max(layer.tables.get("used_share", [0.0]))  # of the images
    return few or heavy or (fair <= 0.5 and busy > (1 + fair) / 2)


def health_sentence(layer: Layer) -> str:
    """What the router does with its experts, in numbers."""
    kind, values, experts = health_of(layer), layer.values, layer.num_experts
    router = "Its router" if layer.only else f"Router {layer.name}"
    if experts is None:
        return f"{router} gives its busiest expert {percent(values['max_load_share'])} of the load."
    if experts == 1:
        return f"{router} has one expert, so nothing to choose."
    entropy = f"{values['usage_entropy']:.2f} of {math.log2(experts):.2f} bits"
    load = (
        f"the busiest of {experts} has {percent(values['max_load_share'])} of the load, "
        f"where {percent(1 / experts)} is fair"
    )
    dead = f"{values['dead_experts']:.0f} of {experts} experts dead"
    if kind == "collapsed":
        return (
            f"{router} has collapsed onto few experts: {load}, it leaves {dead}, and usage entropy "
            f"is {entropy}."
        )
    if kind == "dead":
        return f"{router} leaves {dead}: {load}."
    if kind == "all":
        return f"{router} sends every image to all {experts} experts: {load}."
    if kind == "uneven":
        return f"{router} loads its experts unevenly: {load}."
    return f"{router} loads its experts evenly and none is dead: {load}."


def specialisation_sentence(layer: Layer) -> Iterator[str]:
    """What the first expert says about the class, against a router that knows nothing."""
    information = layer.values.get("mutual_information")
    p_value = layer.values.get("mutual_information_p_value")
    if information is None or p_value is None or layer.num_experts == 1:
        return
    known = f"an image's first expert tells {information:.2f} bits about its class"
    chance = f"p = {p_value:.3f}"
    whose = "Its" if layer.only else f"In {layer.name}, the"
    if p_value > SIGNIFICANT:
        yield (
            f"{whose} experts do not divide the classes: {known}, "
            f"no more than a random router would show ({chance})."
        )
    elif layer.values.get("specialisation", 1.0) < SLIGHT:
        yield f"{whose} experts hardly differ by class, if more than by chance: {known} ({chance})."
    else:
        yield f"{whose} experts differ by class: {known}, beyond chance ({chance})."


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
