"""TensorBoard files, read back with TensorBoard's own reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Train = Callable[..., tuple[int, Path]]


def test_tensorboard_holds_every_number_the_figures_and_the_configuration(train: Train) -> None:
    _, folder = train("logger=tensorboard", "trainer.max_epochs=2", "tags=[blue]")
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0}).Reload()
    logged: dict[str, list[float]] = {}
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        for name, value in line.items():
            logged.setdefault(name, []).append(value)
    del logged["step"]
    assert set(events.Tags()["scalars"]) == set(logged)
    for name in ("val_accuracy", "test_loss", "params_active"):
        seen = [event.value for event in events.Scalars(name)]
        assert seen == pytest.approx(logged[name]), name
    drawn = {"test_confusion", "test_load", "test_class_share"}
    assert set(events.Tags()["images"]) == drawn
    assert [len(events.Images(name)) for name in drawn] == [1, 1, 1]
    (table,) = events.Tensors("test_routing/text_summary")
    assert table.tensor_proto.string_val[0].decode().startswith("| expert | load | 0 | 1 |")
    config = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "    tags:\n    - blue\n" in config
