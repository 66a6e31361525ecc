"""The README says that a router costs two files and one line in a test; this does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project with the README's router in it."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("moe_lab", "conf", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    section = (ROOT / "README.md").read_text().split("## Add a router")[1].split("\n## ")[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL)
    assert [language for language, _ in blocks] == ["python", "yaml", "python"]
    code, settings, line = (text for _, text in blocks)
    (tmp_path / "moe_lab/routers/halving.py").write_text(code)
    (tmp_path / "conf/router/halving.yaml").write_text(settings)
    contract = tmp_path / "tests/routers/test_router_contract.py"
    start = "ROUTERS: dict[str, Build] = {\n"
    text = contract.read_text()
    assert text.count(start) == 1
    imported = "from moe_lab.routers.halving import HalvingRouter\n"
    text = text.replace(start, start + line).replace(
        "from moe_lab.routers import (", imported + "from moe_lab.routers import ("
    )
    contract.write_text(text)
    return tmp_path


def run(checkout: Path, *words: str) -> str:
    """What a command says that is run in the copy; fails where the command fails."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=checkout, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_files_and_one_line_make_a_router_of_every_mixture(checkout: Path) -> None:
    said = run(checkout, "-m", "pytest", "tests/routers/test_router_contract.py", "-k", "halving")
    passed = re.search(r"(\d+) passed|^([.]+) ", said, flags=re.MULTILINE)
    assert passed is not None
    assert "halving" in run(checkout, "-m", "moe_lab.train", "--help")
    audit = ("-m", "moe_lab.commands.audit", "router=halving", "num_images=64", "expert.hidden=16")
    assert "fail" not in run(checkout, *audit, "model=sparse")
    assert "fail" not in run(checkout, *audit, "model=concat", "loss=competition", "expert=zero",
                             "loss.terms.cross_entropy.weight=1")  # fmt: skip
    train = ("dataset=synthetic", "dataset.source.num_train=300", "trainer.max_epochs=1")
    run(checkout, "-m", "moe_lab.train", "router=halving", *train, "run_dir=run")
    assert (checkout / "run" / "summary.json").is_file()
