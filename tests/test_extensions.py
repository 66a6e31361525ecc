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

SHORT = "trainer.max_epochs=1 trainer=cpu report=false"
TINY = f"dataset=synthetic dataset.source.num_train=300 {SHORT}"
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
    shown: str  # what --help then lists
    audits: tuple[str, ...]  # compositions, each as typed
    train: str
    tests: str  # arguments of pytest

    @property
    def recipe(self) -> Recipe:
        return Recipe.of((ROOT / self.readme).read_text(), self.heading)


ADDITIONS = {
    "router": Addition(
        "moe_lab/routers/README.md",
        "Add a router",
        "halving",
        (
            "router=halving",
            "router=halving model=concat loss=competition expert=zero "
            "loss.terms.cross_entropy.weight=1",
        ),
        f"{TINY} router=halving expert.hidden=16",
        "tests/routers/test_router_contract.py -k halving",
    ),
    "expert": Addition(
        "moe_lab/experts/README.md",
        "Add an expert",
        "maxout",
        ("expert=maxout", "expert=maxout model=dense"),
        f"{TINY} expert=maxout expert.hidden=16",
        "tests/experts/test_every_kind.py -k maxout",
    ),
    "loss term": Addition(
        "moe_lab/losses/README.md",
        "Add a loss term",
        "focal",
        ("loss=focal", "loss=focal model=standard combine=concat"),
        f"{TINY} loss=focal expert.hidden=16",
        "tests/losses/test_contract.py -k Focal",
    ),
    "data set": Addition(
        "moe_lab/data/README.md",
        "Add a data set",
        "digits_8x8",
        ("dataset=digits_8x8",),
        f"dataset=digits_8x8 {SHORT} expert.hidden=16",
        "tests/config/test_files.py -k digits_8x8",
    ),
    "backbone": Addition(
        "moe_lab/networks/README.md",
        "Add a backbone",
        "projection",
        ("backbone=projection",),
        f"{TINY} backbone=projection expert.hidden=16",
        "tests/config/test_files.py -k projection",
    ),
    "model": Addition(
        "moe_lab/models/README.md",
        "Add a model",
        "residual_mixture",
        ("model=residual_mixture", "model=residual_mixture router=relu loss=specialised"),
        f"{TINY} model=residual_mixture expert.hidden=16",
        "tests/config/test_files.py -k residual_mixture",
    ),
}


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
    assert recipe.rows  # all of them in the one README that has been read


@pytest.mark.parametrize("kind", ADDITIONS)
def test_what_a_recipe_makes_is_listed_sound_and_trainable(kind: str, checkout: Path) -> None:
    addition = ADDITIONS[kind]
    for path, content in addition.recipe.files.items():
        (checkout / path).write_text(content)
    readme = checkout / addition.readme
    readme.write_text(with_rows(readme.read_text(), addition.recipe.rows))
    run_dir = f"run_{addition.shown}"
    audits = [f"audit {line} num_images=64" for line in addition.audits]
    lines = ["train --help", *audits, f"train {addition.train} run_dir={run_dir}"]
    said = run(checkout, "-c", COMMANDS, *lines)
    help_text = said.split("moe-lab audit")[0]
    assert addition.shown in help_text
    assert (checkout / run_dir / "summary.json").is_file()
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
