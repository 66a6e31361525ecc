"""The command that trains a recorded configuration again."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from moe_lab.comparison.recipe import Recipe, find_recipe, hydra_value
from moe_lab.training.run_directory import RunDirectory

Record = Callable[..., Path]


def recipe_of(folder: Path) -> Recipe:
    run = RunDirectory(folder)
    return find_recipe(
        run.read_config(), run.read_summary()["choices"], run.read_environment()["command"]
    )


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model=dense", "expert.hidden=512"),
        ("model=standard", "router=cosine", "optimizer=sgd", "optimizer.lr=0.01"),
        ("expert=deep", "expert.hidden=[64,32]", "trainer.precision=bf16-mixed"),
        ("loss.terms.router_z.weight=0.001", "debug=fast", "init_from='odd name/a=b'"),
    ],
)
def test_the_overrides_that_were_typed_are_found_again(
    overrides: tuple[str, ...], record: Record
) -> None:
    found = recipe_of(record("run", overrides))
    assert found.exact
    assert set(found.words()) == set(overrides)


def test_what_an_experiment_or_a_model_brings_is_not_repeated(record: Record) -> None:
    found = recipe_of(record("run", ("experiment=smoke", "router=top_k")))
    assert found.exact
    assert found.words() == ["experiment=smoke", "router=top_k"]


def test_pixel_statistics_are_repeated_only_where_they_were_typed(record: Record) -> None:
    given = record("given", ("dataset=synthetic", "dataset.mean=[0.1]"))
    assert set(recipe_of(given).words()) == {"dataset=synthetic", "dataset.mean=[0.1]"}
    measured = record("measured", ("dataset=synthetic",))
    assert recipe_of(measured).words() == ["dataset=synthetic"]
    assert recipe_of(measured).exact


def test_one_seed_is_a_run_and_several_are_a_sweep(record: Record) -> None:
    found = recipe_of(record("run", ("dataset.classes=['3',8]",)))
    assert shlex.split(found.command([(2, 0)])) == [
        "python", "-m", "moe_lab.train", "dataset.classes=['3',8]", "seed=2",
    ]  # fmt: skip
    assert shlex.split(found.command([(0, 0), (1, 0)]))[3:] == [
        "-m",
        "dataset.classes=['3',8]",
        "seed=0,1",
    ]


def test_split_seeds_that_follow_the_seeds_are_one_sweep(record: Record) -> None:
    found = recipe_of(record("run", ("model=dense",)))
    assert shlex.split(found.command([(0, 0), (3, 3)]))[3:] == [
        "-m", "model=dense", "dataset.split_seed=${seed}", "seed=0,3",
    ]  # fmt: skip
    assert found.command([(0, 1), (2, 1), (0, 4)]) == (
        "python -m moe_lab.train -m model=dense dataset.split_seed=1 seed=0,2 && "
        "python -m moe_lab.train model=dense dataset.split_seed=4 seed=0"
    )


def test_the_folder_of_the_data_is_printed_where_it_was_another_one(
    record: Record,
) -> None:
    found = recipe_of(record("run", ("model=dense", "dataset.root='../my data'")))
    assert found.exact
    assert shlex.split(found.command([(0, 0)]))[3:] == [
        "model=dense", "dataset.root='../my data'", "seed=0",
    ]  # fmt: skip
    assert "dataset.root" not in recipe_of(record("usual")).command([(0, 0)])


def test_a_record_that_this_version_cannot_compose_is_not_exact(record: Record) -> None:
    folder = record("run")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["optimizer"]["forgotten"] = 1
    choices = RunDirectory(folder).read_summary()["choices"]
    assert not find_recipe(config, choices).exact
    removed = find_recipe(config, {**choices, "router": "no_longer_there"})
    assert not removed.exact
    assert "router=no_longer_there" in removed.words()


@pytest.mark.parametrize(
    "value",
    [None, True, False, 3, -1.5, 1e-5, "word", "two words", "a,b", "it's", "1e3", "null", "",
     "$x", "/some/a-b.c", "a\\b", "a\\'b\\", [], [1, "x y", None], [[1], [2, 3]]],
)  # fmt: skip
def test_values_survive_the_grammar_of_the_command_line(value: Any) -> None:
    parsed = OverridesParser.create().parse_override(f"key={hydra_value(value)}").value()
    assert plain(parsed) == value


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    return getattr(value, "text", value)
