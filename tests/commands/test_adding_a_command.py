"""The page of commands says that one more takes two files; this does what it says, in a copy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from moe_lab.config.command_names import command_names, summary_of
from tests.catalogue import tables_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "moe_lab" / "commands" / "README.md"


@pytest.mark.slow
def test_two_files_make_a_command(tmp_path: Path) -> None:
    for name in ("moe_lab", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    recipe = PAGE.read_text().split("## Add a command")[1]
    code, settings = re.findall(r"```(?:python|yaml)\n(.*?)```", recipe, flags=re.DOTALL)
    (tmp_path / "moe_lab/commands/epochs.py").write_text(code)
    (tmp_path / "conf/epochs.yaml").write_text(settings)
    run = ROOT / "tests" / "training" / "former_runs" / "dense"

    def type_in(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, "-m", "moe_lab", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    assert "Say how many epochs a run has seen." in type_in("--help").stdout
    assert "added to the number" in type_in("epochs", "--help").stdout
    assert "int >= 0" in type_in("epochs", "--help", "offset", f"run={run}").stdout
    assert type_in("epochs", str(run), "offset=2").stdout == "3\n"
    assert type_in("epochs", str(run), "offset=-1").returncode == 2
    assert "holds no run" in type_in("epochs", "nowhere").stderr


def test_the_page_lists_every_command_and_each_says_what_it_does() -> None:
    (table,) = [own for own in tables_of(PAGE.read_text()) if own.about == "command"]
    assert sorted(table.options()) == command_names()
    assert all(summary_of(name).endswith(".") for name in command_names() if name != "train")
