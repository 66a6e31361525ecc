"""Reads what runs and sweeps have recorded: what is damaged is named, and nothing in it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from moe_lab.errors import RecordError

UNREADABLE = (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError, yaml.YAMLError)
# What reading a value raises that is not there or of another kind.
MISFITS = (
    OmegaConfBaseException,
    HydraException,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file, of plain values only: a tag that would build an object is refused."""
    with reading(path):
        return as_mapping(yaml.safe_load(path.read_text(encoding="utf-8")), path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file."""
    with reading(path):
        return as_mapping(json.loads(path.read_text(encoding="utf-8")), path)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file, one a line; none without the file, and without a last line that was
    cut off.
    """
    if not path.is_file():
        return []
    with reading(path):
        *lines, _ = path.read_text(encoding="utf-8").split("\n")
        return [
            as_mapping(parsed(line, path, number), path)
            for number, line in enumerate(lines, 1)
            if line.strip()
        ]


def parsed(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise RecordError(
            f"line {number} of {path} cannot be read: {first_line(error)}",
            "an object of JSON in each line",
            "delete that line, or take the file from a copy of the run directory",
        ) from None


def as_mapping(content: Any, path: Path) -> dict[str, Any]:
    """The content of a file, if it is what training writes at its top."""
    if isinstance(content, dict):
        return content
    kind = "nothing" if content is None else f"a {type(content).__name__}"
    raise damaged(path, f"it holds {kind} instead of names with values")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Within, what goes wrong with a file becomes a RecordError that names it."""
    try:
        yield
    except UNREADABLE as error:
        raise damaged(path, f"it cannot be read: {first_line(error)}") from None


@contextmanager
def understanding(path: Path) -> Iterator[None]:
    """Within, a value that a file lacks, or has in another form, becomes a RecordError."""
    try:
        yield
    except MISFITS as error:
        raise damaged(
            path, f"it does not hold what is needed: {type(error).__name__}: {first_line(error)}"
        ) from error


def damaged(path: Path, why: str) -> RecordError:
    return RecordError(
        f"{path} is damaged: {why}",
        f"{path.name} as training wrote it",
        "take it from a copy of the run directory, or train again",
    )


def first_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join((str(error).strip() or type(error).__name__).split())[:200]
