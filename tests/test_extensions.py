"""What the rooms' README files say that a new part takes: at most two new files and one edited.

Each recipe is applied to a copy of the project, letter by letter; all share one copy, so that a
part must also get along with those before it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.catalogue import ROOT, Recipe, with_rows

pytestmark = pytest.mark.slow

SHORT = "trainer.max_epochs=1 trainer=cpu report=false expert.hidden=16"
TINY = "dataset=synthetic dataset.source.num_train=300"
# Several commands in one process: importing torch takes longer than any of them.
COMMANDS = """
import sys
from moe_lab.__main__ import main
for line in sys.argv[1:]:
    print("moe-lab", line, flush=True)
    if code := main(line.split()):
        sys.exit(code)
"""


@dataclass(frozen=True)
class Addition:
    """A recipe, and what must work once it has been followed."""

    readme: str
    heading: str
    lines: tuple[str, ...]  # commands
    says: str  # what --help, or the last command, then says
    writes: str  # a file that they leave
    tests: str  # arguments of pytest

    @property
    def recipe(self) -> Recipe:
        return Recipe.of((ROOT / self.readme).read_text(), self.heading)


def part(folder: str, heading: str, words: str, audits: tuple[str, ...], tests: str) -> Addition:
    """A part that configurations choose, with words that choose it."""
    option = words.split()[0].partition("=")[2]
    data = "" if words.startswith("dataset=") else TINY
    return Addition(
        f"moe_lab/{folder}/README.md",
        heading,
        (
            "train --help",
            *(f"audit {words} {audit} num_images=64" for audit in audits),
            f"train {data} {SHORT} {words} run_dir=run_{option}",
        ),
        says=option,
        writes=f"run_{option}/summary.json",
        tests=tests,
    )


FILES = "tests/config/test_files.py -k"
ADDITIONS = {
    "router": part(
        "routers", "Add a router", "router=halving",
        ("", "model=concat loss=competition expert=zero loss.terms.cross_entropy.weight=1"),
        "tests/routers/test_router_contract.py -k halving",
    ),
    "expert": part(
        "experts", "Add an expert", "expert=maxout", ("", "model=dense"),
        "tests/experts/test_every_kind.py -k maxout",
    ),
    "loss term": part(
        "losses", "Add a loss term", "loss=focal", ("", "model=standard combine=concat"),
        "tests/losses/test_contract.py -k Focal",
    ),
    "data set": part(
        "data", "Add a data set", "dataset=digits_8x8", ("",), f"{FILES} digits_8x8"
    ),
    "backbone": part(
        "networks", "Add a backbone", "backbone=projection", ("",), f"{FILES} projection"
    ),
    "model": part(
        "models", "Add a model", "model=residual_mixture", ("", "router=relu loss=specialised"),
        f"{FILES} residual_mixture",
    ),
    "metric": Addition(
        "moe_lab/metrics/README.md",
        "Add a metric",
        ("train --help", f"train {TINY} {SHORT} model=standard run_dir=run_metric"),
        says="effective experts per image",
        writes="run_metric/summary.json",
        tests="tests/metrics/test_registry.py -k readme or nothing_but_python or taken_apart",
    ),
    "figure": Addition(
        "moe_lab/analysis/plots/README.md",
        "Add a figure",
        (
            "train --help",
            f"train {TINY} {SHORT} run_dir=run_figure",
            "analyze run=run_figure probes=false out=figures",
        ),
        says="analysis: figures",
        writes="figures/plots/sorted_load.png",
        tests="tests/analysis/plots/test_gallery.py -k the_page_lists",
    ),
    "command": Addition(
        "moe_lab/commands/README.md",
        "Add a command",
        (
            "--help",
            "epochs --help",
            f"train {TINY} {SHORT} run_dir=run_command",
            "epochs run_command offset=2",
        ),
        says="Say how many epochs a run has seen.",
        writes="run_command/summary.json",
        tests="tests/commands/test_adding_a_command.py -k the_page_lists",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("moe_lab", "conf", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(checkout: Path, *words: str) -> str:
    """What a command of the copy says; fails where the command fails."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=checkout, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ADDITIONS)
def test_a_recipe_takes_two_new_files_at_most_and_one_edited(kind: str) -> None:
    recipe = ADDITIONS[kind].recipe
    assert 1 <= len(recipe.files) <= 2
    assert not any((ROOT / path).exists() for path in recipe.files)
    # The edited file is the README that has been read: rows of its tables, or all of them.
    assert recipe.rows or kind == "metric"


@pytest.mark.parametrize("kind", ADDITIONS)
def test_what_a_recipe_makes_is_listed_sound_and_trainable(kind: str, checkout: Path) -> None:
    addition = ADDITIONS[kind]
    for path, content in addition.recipe.files.items():
        (checkout / path).write_text(content)
    readme = checkout / addition.readme
    text = with_rows(readme.read_text(), addition.recipe.rows)
    if kind == "metric":  # whose tables a command prints
        start = text.index("## `SPLIT/`")
        text = text[:start] + run(checkout, "-m", "moe_lab.metrics.registry")
    readme.write_text(text)
    assert addition.says in run(checkout, "-c", COMMANDS, *addition.lines)
    assert (checkout / addition.writes).is_file()
    files, _, names = addition.tests.partition(" -k ")
    chosen = f"{names} or test_catalogues"
    run(checkout, "-m", "pytest", files, "tests/test_catalogues.py", "-k", chosen)


@pytest.mark.parametrize("kind", ADDITIONS)
def test_the_code_of_a_recipe_keeps_the_rules_of_the_project(kind: str) -> None:
    for path, content in ADDITIONS[kind].recipe.files.items():
        if path.endswith(".py"):
            for check in (["check"], ["format", "--check"]):
                command = [sys.executable, "-m", "ruff", *check, "--stdin-filename", path, "-"]
                done = subprocess.run(
                    command, input=content, cwd=ROOT, capture_output=True, text=True
                )
                assert done.returncode == 0, done.stdout + done.stderr
