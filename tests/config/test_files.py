"""Every configuration file: commented, composable, and what the help says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from moe_lab.commands.train import EXAMPLES
from moe_lab.config.check import check_overrides
from moe_lab.config.help import GROUPS, groups, help_text, options
from moe_lab.config.location import configuration_folder
from moe_lab.config.resolvers import register_resolvers
from moe_lab.config.rules import leaf_keys, rules_in_file

Train = Callable[..., tuple[int, Path]]
CHOICES = [(group, option) for group in groups() for option in options(group)]
NOT_HERE = {"trainer=gpu", "trainer=ddp"}  # need a GPU, or torchrun


def beside(first: str, *others: str) -> list[list[str]]:
    """A line for each option of a group, with the options of groups that do not know it in turn."""
    return [
        [f"{group}={options(group)[number % len(options(group))]}" for group in (first, *others)]
        for number in range(len(options(first)))
    ]


LINES = [
    *beside("model", "dataset", "trainer", "optimizer", "scheduler", "callbacks", "logger"),
    *(["model=standard", *words] for words in beside("router", "expert", "combine", "loss")),
    *(["model=standard", *words] for words in beside("temperature", "gate")),
    *(["model=iwmn", "backbone=conv", *words] for words in beside("feedback", "modulation")),
    *beside("experiment", "debug"),
]
TYPED = {word for line in LINES for word in line}
LINES += [[f"{group}={option}"] for group, option in CHOICES if f"{group}={option}" not in TYPED]


def files_except(*folders: str) -> list[Path]:
    found = sorted(configuration_folder().rglob("*.yaml"))
    return [file for file in found if file.parent.name not in folders]


def test_every_key_has_a_rule_and_a_meaning() -> None:
    plumbing = ("_target_", "_partial_")
    for file in files_except("experiment", "debug"):  # these set keys of other files
        rules = rules_in_file(file)
        missing = [k for k in leaf_keys(file) if k not in rules and not k.endswith(plumbing)]
        assert missing == [], file
        assert [key for key, rule in rules.items() if len(rule.meaning) < 3] == [], file


def test_every_option_says_in_its_first_lines_what_it_is() -> None:
    for file in files_except("parts"):  # these are pieces of other options
        first = next(line for line in file.read_text().splitlines() if "@package" not in line)
        assert re.match(r"# \w.{5,}", first), file


def test_every_folder_of_configuration_files_is_a_group_in_the_help() -> None:
    folders = {folder.name for folder in configuration_folder().iterdir() if folder.is_dir()}
    # Hydra's own groups and the studies are no part of a training run.
    assert folders - {"hydra", "study"} == set(GROUPS) == set(groups())


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_every_option_composes_and_passes_its_own_rules(line: list[str]) -> None:
    register_resolvers()
    config = check_overrides("train", line, multirun=False)
    if not NOT_HERE & set(line):
        OmegaConf.to_container(config, resolve=True)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", options("experiment"))
@pytest.mark.parametrize("debug", options("debug"))
def test_every_experiment_composes_with_every_debug_preset(experiment: str, debug: str) -> None:
    register_resolvers()
    check_overrides("train", [f"experiment={experiment}", f"debug={debug}"], multirun=False)


def test_help_lists_every_group_option_and_stays_on_a_page_or_two() -> None:
    text = help_text("train", "Train.", EXAMPLES)
    for group, option in CHOICES:
        assert option in text, (group, option)
    assert len(text.splitlines()) < 80


@pytest.mark.slow
@pytest.mark.parametrize("command", [line for line, _ in EXAMPLES if "--help" not in line])
def test_the_commands_in_the_help_run(command: str, train: Train) -> None:
    assert command.startswith("moe-lab train")
    words = command.split()[2:]
    words = [word for word in words if not word.startswith("dataset=")]
    size = ["dataset.size=[3,32,32]"] if "cifar10" in command else []
    start = [] if "experiment" in command else ["dataset=synthetic", "dataset.source.num_train=300"]
    code, _ = train(*start, *words, *size, "debug=fast", small=False)
    assert code == 0


@pytest.mark.slow
def test_configuration_is_found_from_a_wheel_in_another_folder(tmp_path: Path) -> None:
    root = configuration_folder().parent
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
         "-w", str(tmp_path), str(root)],
        check=True, timeout=120, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    # A wheel is a zip file that Python can unpack as it is.
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(tmp_path)], check=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import moe_lab; "
        "assert moe_lab.__file__.startswith(sys.argv[1]); from moe_lab.train import main; "
        "raise SystemExit(main(['experiment=smoke', 'debug=fast', 'run_dir=run']))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "summary.json").is_file()
