"""Small records whose numbers can be counted by hand."""

from __future__ import annotations

import numpy as np

from moe_lab.analysis.collected import LayerRecords, Records

# Four images of classes 0, 0, 1, 1; the third is classified wrong; the last has no expert.
WEIGHTS = np.array(
    [[0.75, 0.25, 0, 0], [0, 1, 0, 0], [0, 0.5, 0, 1.5], [0, 0, 0, 0]], dtype=np.float32
)
TARGET = np.array([0, 0, 1, 1])
PROBS = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]], dtype=np.float32)


def four_images(**more: np.ndarray) -> Records:
    """Four images, four experts, two classes."""
    layer = LayerRecords(logits=WEIGHTS, probs=np.full((4, 4), 0.25, np.float32), weights=WEIGHTS)
    return Records(("cat", "dog"), TARGET, np.log(PROBS), {"router": layer}, **more)


def repeated(records: Records, times: int) -> Records:
    """The same images so many times over."""

    def again(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([rows] * times)

    layers = {
        name: LayerRecords(again(own.logits), again(own.probs), again(own.weights))
        for name, own in records.layers.items()
    }
    alone = records.expert_log_probs
    return Records(
        records.class_names, again(records.target), again(records.log_probs), layers,
        None if alone is None else again(alone),
    )  # fmt: skip


def many_images(num_experts: int = 4, layers: tuple[str, ...] = ("router",)) -> Records:
    """120 images of three classes, two experts each, drawn at random."""
    draw = np.random.default_rng(0)
    target = np.arange(120) % 3
    log_probs = np.log(draw.dirichlet(np.ones(3), 120)).astype(np.float32)
    found = {}
    for name in layers:
        logits = draw.normal(size=(120, num_experts)).astype(np.float32)
        probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        least = np.sort(probs, 1)[:, [-2]]
        found[name] = LayerRecords(logits, probs, np.where(probs >= least, probs, 0))
    return Records(("a", "b", "c"), target, log_probs, found)


def history(num_epochs: int = 3) -> list[dict[str, float]]:
    """Lines as a run of ten steps an epoch writes them, with the validation after the end."""
    rows: list[dict[str, float]] = []
    for epoch in range(num_epochs):
        step = 10 * epoch + 9
        rows.append(
            {"step": step, "train_loss": 2.0, "train_cross_entropy": 1.5, "train_importance": 5.0}
        )
        rows.append(
            {"step": step, "epoch": epoch, "val_loss": 1.0 / (epoch + 1), "val_accuracy": 0.5,
             "val_max_load_share": 0.4, "val_usage_entropy": 1.9, "val_routing_entropy": 0.5,
             "val_mutual_information": 0.2}
        )  # fmt: skip
        rows.append(
            {"step": step, "epoch": epoch, "train_epoch_loss": 2.0 - epoch, "train_accuracy": 0.6}
        )
    rows.append({"step": step + 1, "epoch": num_epochs, "val_loss": 9.0, "val_accuracy": 0.9})
    return rows
