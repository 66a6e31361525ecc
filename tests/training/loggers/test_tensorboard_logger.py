"""TensorBoard files, read back with TensorBoard's own reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from moe_lab.metrics.registry import tag_of

Train = Callable[..., tuple[int, Path]]


def test_tensorboard_holds_every_number_the_figures_and_the_configuration(train: Train) -> None:
    _, folder = train(
        "logger=tensorboard", "trainer.max_epochs=2", "tags=[blue]", "trainer.log_every_n_steps=2"
    )  # fmt: skip
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0}).Reload()
    logged: dict[str, list[float]] = {}
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        for name, value in line.items():
            logged.setdefault(name, []).append(value)
    del logged["step"]
    assert set(events.Tags()["scalars"]) == set(map(tag_of, logged))
    grouped = {"train/loss", "loss/switch_balance", "schedule/learning_rate", "router/load_cv"}
    assert grouped <= set(events.Tags()["scalars"])
    for name in ("val_accuracy", "test_loss", "params_active"):
        seen = [event.value for event in events.Scalars(tag_of(name))]
        assert seen == pytest.approx(logged[name]), name
    drawn = {"test/confusion", "test/load", "test/class_share"}
    assert set(events.Tags()["images"]) == drawn
    assert [len(events.Images(name)) for name in drawn] == [1, 1, 1]
    (table,) = events.Tensors("test/routing/text_summary")
    assert table.tensor_proto.string_val[0].decode().startswith("| expert | load | 0 | 1 |")
    config = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "    tags:\n    - blue\n" in config


def test_settings_stand_beside_results_in_the_table_of_hyperparameters(train: Train) -> None:
    _, folder = train("logger=tensorboard", "optimizer.lr=0.005")
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    kept = events.PluginTagToContent("hparams")
    experiment, start = (
        HParamsPluginData.FromString(kept[f"_hparams_/{name}"])
        for name in ("experiment", "session_start_info")
    )
    settings = start.session_start_info.hparams
    assert settings["optimizer.lr"].number_value == 0.005
    assert settings["choices.router"].string_value == "noisy_top_k"
    results = {info.name.tag for info in experiment.experiment.metric_infos}
    assert {"test/accuracy", "val/accuracy", "cost/train_seconds", "test/load_cv"} <= results
    assert not any("{" in tag for tag in results)
    assert len(events.Scalars("test/accuracy")) == 1  # and no first value that nobody measured
