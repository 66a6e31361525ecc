"""What the numbers of a summary say, each in a line."""

from __future__ import annotations

import re

MEANINGS = {
    "accuracy": "share of images answered rightly",
    "top_5_accuracy": "share of images whose class is among the five likeliest answers",
    "loss": "mean negative log-likelihood, without auxiliary terms",
    "precision": "mean over the classes",
    "recall": "mean over the classes",
    "f1": "mean over the classes",
    "calibration_error": "gap between confidence and accuracy (ECE, 15 bins)",
    "epochs": "completed passes over the training images",
    "params_total": "learned numbers in the model",
    "params_active": "of these, used for one image on average",
    "flops_per_image": "floating-point operations of one answer, counted while it runs",
    "train_seconds": "in training steps, without validation",
    "images_per_second": "in training",
    "load_cv": "spread of the experts' loads over their mean; 0: all equal",
    "token_cv": "as load_cv, in tokens instead of images",
    "dropped_share": "of all (token, expert) pairs, those for which the expert had no room",
    "max_load_share": "load of the busiest expert: its share of all routing weight",
    "max_load_ratio": "load of the busiest expert over a fair share",
    "dead_experts": "experts with less than 1 % of a fair load",
    "experts_per_image": "experts computed for an image",
    "routing_entropy": "bits; mean entropy of an image's weights; 0: one expert each",
    "usage_entropy": "bits; entropy of the summed weights; at most log2 of the experts",
    "class_entropy": "bits; over how many experts a class is spread",
    "router_confidence": "mean largest routing probability",
    "router_margin": "mean lead of the largest routing probability over the second",
    "mutual_information": "bits that the first expert tells about the true class, less the null's",
    "mutual_information_null": "bits that a random router of the same load would show",
    "mutual_information_p_value": "share of random routers that show as much",
    "specialisation": "0: no more than chance; 1: expert and class determine each other",
    "guidance_diagonal": "share of images whose first expert has the number of their class",
    "mean_steps": "passes taken for an image",
    "pass_agreement": "share of images whose answer a pass leaves as it was",
    "seed": "initial weights, order of images, augmentation and noise",
}
PREFIX = re.compile(r"^(test_|val_|pass_\d+_)")
STAGE_PREFIXES = {"test_": "test: ", "val_": "validation: "}


def meaning_of(key: str) -> str:
    """What a value of the summary says; nothing for names that are not known."""
    if key in MEANINGS:
        return MEANINGS[key]
    found = PREFIX.match(key)
    if found:
        start = STAGE_PREFIXES.get(found[1]) or f"after pass {found[1].split('_')[1]}: "
        rest = meaning_of(key[found.end() :])
        return start + rest if rest else ""
    _, _, rest = key.partition("_")
    return meaning_of(rest) if rest else ""
