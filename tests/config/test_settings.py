"""What a run did otherwise than by default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra

from moe_lab.config.settings import compare_settings, same

Train = Callable[..., tuple[int, Path]]
ReadJSON = Callable[[Path], dict[str, Any]]


def differences(run: Path, summary: dict[str, Any]) -> dict[str, tuple[str, str]]:
    config = yaml.safe_load((run / "config.yaml").read_text())
    settings, compared = compare_settings(config, summary["choices"])
    assert compared
    return {s.key: (s.default, s.value) for s in settings if s.differs}


def test_exactly_what_was_typed_differs(train: Train, read_json: ReadJSON) -> None:
    _, run = train("model=standard", "router=top_k", "router.top_k=3", "seed=5", "optimizer.lr=0.1")
    assert differences(run, read_json(run / "summary.json")) == {
        "model": ("sparse", "standard"),
        "router": ("softmax", "top_k"),  # against what model=standard brings
        "dataset": ("mnist", "synthetic"),
        "router.top_k": ("2", "3"),
        "seed": ("0", "5"),
        "optimizer.lr": ("0.002", "0.1"),
        "expert.hidden": ("256", "16"),
        "dataset.source.num_train": ("2000", "300"),
        "dataset.source.num_test": ("500", "100"),
        "trainer.max_epochs": ("3", "1"),
        "trainer.accelerator": ("auto", "cpu"),
    }


def test_what_a_preset_sets_is_a_difference(train: Train, read_json: ReadJSON) -> None:
    _, run = train("dataset=synthetic", "debug=fast", small=False)
    found = differences(run, read_json(run / "summary.json"))
    assert found["debug"] == ("none", "fast")
    assert found["trainer.max_epochs"] == ("3", "1")


def test_a_key_that_follows_another_is_no_difference_of_its_own(
    train: Train, read_json: ReadJSON
) -> None:
    _, run = train("model.num_experts=4", "dataset.epochs=1", "debug=fast")
    found = differences(run, read_json(run / "summary.json"))
    assert found["model.num_experts"] == ("8", "4")
    assert not {key for key in found if key.endswith("num_experts")} - {"model.num_experts"}
    assert not {key for key in found if "run_dir" in key or key.endswith((".file", ".directory"))}


def test_an_option_that_is_gone_leaves_the_settings_without_defaults() -> None:
    settings, compared = compare_settings({"seed": 3}, {"router": "no_such_router"})
    assert not compared
    assert [(s.key, s.value, s.differs) for s in settings] == [("seed", "3", False)]


def test_comparing_leaves_hydra_as_it_was() -> None:
    before = GlobalHydra.instance().hydra
    compare_settings({"seed": 0}, {"model": "dense"})
    assert GlobalHydra.instance().hydra is before


@pytest.mark.parametrize(
    ("expected", "value", "equal"),
    [
        (0.1307, [0.13070000708], True),  # float32, and one number for all channels
        (0.1307, [0.1307, 0.2], False),
        ([1, 2], [1, 2, 3], False),
        (1.0, 1, True),
        (0.0, 1e-9, False),
        (None, 0, False),
        ("auto", "auto", True),
        (True, False, False),
    ],
)
def test_rounding_is_no_difference(expected: Any, value: Any, equal: bool) -> None:
    assert same(expected, value) is equal
