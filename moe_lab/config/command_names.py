"""The commands that can be typed: every file in moe_lab/commands/ is one, named like it."""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "commands"


def command_names() -> list[str]:
    """In alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


def summary_of(name: str) -> str:
    """The first line of a command's docstring; read, not imported: the list is wanted at once."""
    docstring = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")))
    return (docstring or "").partition("\n")[0]
