"""The pages keep to their length, their links lead somewhere, and every command in them runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moe_lab import train
from moe_lab.__main__ import main
from moe_lab.config.check import check_line

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "moe_lab").rglob("README.md"))]
PAGES += sorted((ROOT / "conf").rglob("README.md"))
# What takes a network, several processes or an installation is parsed and checked, not run.
ONLY_CHECKED = (
    "moe-lab study",
    "dashboard push",
    "logger=wandb",
    "logger=all",
    "trainer=gpu",
    "torchrun",
)
# Words that make a training command small, whatever it trains.
QUICK = ["debug=fast", "report=false", "trainer.accelerator=cpu"]


def commands_of(page: Path) -> list[str]:
    """The lines of the page's bash blocks, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    stripped = [re.sub(r"\s+#.*$", "", line).strip() for line in lines]
    return [line for line in stripped if line and not line.startswith("#")]


COMMANDS = [
    pytest.param(line, id=f"{page.parent.name or 'root'}: {line}")
    for page in PAGES
    for line in dict.fromkeys(commands_of(page))
]


def test_the_readme_can_be_read_in_a_quarter_of_an_hour() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 300
    assert len(text.split()) <= 3500


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    anchors = {anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        file, _, heading = target.partition("#")
        assert (page.parent / file).exists(), target
        assert file or heading in anchors, target


def anchor(heading: str) -> str:
    """What a link to a heading is called."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the pages' names of runs, sweeps and pictures are there."""
    folder = tmp_path_factory.mktemp("pages")
    former = ROOT / "tests" / "training" / "former_runs"
    run = ["dataset=synthetic", "dataset.source.num_train=120", "dataset.source.num_test=60"]
    small = [*run, "expert.hidden=4", "trainer.max_epochs=1", "report=false"]
    assert train.main([*small, f"run_dir={folder}/outputs/RUN"]) == 0
    sweep = ["-m", *small, "model=dense,sparse", "seed=0,1"]
    assert train.main([*sweep, f"run_dir={folder}/outputs/sweep"]) == 0
    for name in ("NAME", "first"):
        shutil.copytree(folder / "outputs/sweep", folder / "outputs/sweeps" / name)
    shutil.copytree(former, folder / "outputs/former")
    generator = np.random.default_rng(0)
    for split, number in (("train", 12), ("test", 4)):
        for label in ("cat", "dog"):
            place = folder / "FOLDER" / split / label
            place.mkdir(parents=True)
            for index in range(number):
                pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{index}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_on_a_page_runs(
    line: str, outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(outputs)
    words = shlex.split(line)
    if words[0].startswith("scripts/"):
        assert (ROOT / words[0]).stat().st_mode & 0o100
        subprocess.run(["bash", "-n", ROOT / words[0]], check=True)
        return
    if words[0] == "torchrun":
        words = ["python", *words[words.index("-m") :]]
    name, *rest = words[1:] if words[0] == "moe-lab" else words[2:]
    if name.startswith("moe_lab"):
        name, *rest = ("train", *rest) if name == "moe_lab.train" else rest
    if any(part in line for part in ONLY_CHECKED):
        # The tests of the studies check every line that one of them trains.
        key = {"study": "study", "dashboard": "action"}.get(name, "")
        plain = [word for word in rest if word != "-m" and not (key and word.startswith("data"))]
        named = [f"{key}={word}" if "=" not in word else word for word in plain]
        assert check_line(name, named, multirun="-m" in rest)
        return
    code = main([name, *reduced(name, rest)])
    assert code == 0, capsys.readouterr().err


def reduced(name: str, words: list[str]) -> list[str]:
    """The same words on little data, in a folder that is not there yet."""
    looks = any(word in ("--help", "--cfg", "--version") for word in words)
    if looks or name not in ("train", "audit"):
        return words
    if name == "audit":
        return [*words, "num_images=32", "expert.hidden=8"]
    given = ("run_dir=", "dataset=mnist", "dataset.subset=")
    words = [word for word in words if not word.startswith(given)]
    if any(word.startswith("dataset=") or "smoke" in word for word in words):
        words = [*words, *QUICK]
    else:
        words = [*words, "dataset=synthetic", "dataset.source.num_train=120", *QUICK]
    if "hydra/sweeper=optuna" in words:
        words = [*words, "hydra.sweeper.n_trials=2"]
    return words
