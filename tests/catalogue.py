"""The tables and recipes in the README files of the rooms, for tests that hold them to the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The README with the table of each group of options; `loss.terms.` is the catalogue of loss terms.
TABLES = {
    "moe_lab/models/README.md": ("model", "combine", "modulation", "feedback"),
    "moe_lab/routers/README.md": ("router", "gate", "temperature"),
    "moe_lab/experts/README.md": ("expert",),
    "moe_lab/losses/README.md": ("loss", "loss.terms."),
    "moe_lab/data/README.md": ("dataset",),
    "moe_lab/networks/README.md": ("backbone",),
    "moe_lab/sweeps/README.md": ("study",),
    "conf/experiment/README.md": ("experiment",),
    "moe_lab/training/README.md": (
        "optimizer", "scheduler", "trainer", "callbacks", "logger", "debug",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table of a README: what its first column is about, and its cells by column and row."""

    about: str  # the group, as in `router=`, or `loss.terms.`
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def options(self) -> list[str]:
        """Every name in the first column, in order, repetitions included."""
        return [name for row in self.rows for name in re.findall(r"`(\w+)`", row[0])]

    def column(self, name: str) -> list[str]:
        index = self.columns.index(name)
        return [row[index] for row in self.rows]


def tables_of(text: str) -> Iterator[Table]:
    """The tables whose first column is headed by a group of options."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for block in re.findall(r"(?:^\|.*\n)+", prose, flags=re.MULTILINE):
        header, _, *rows = ([cell.strip() for cell in cells(line)] for line in block.splitlines())
        found = re.fullmatch(r"`([\w.]+?)=?`", header[0])
        if found:
            yield Table(found[1], tuple(header), tuple(map(tuple, rows)))


def cells(line: str) -> list[str]:
    """The cells of a row; a bar within code does not end one."""
    code = re.sub(r"`[^`]*`", lambda match: match[0].replace("|", "\0"), line)
    return [cell.replace("\0", "|") for cell in code.strip().strip("|").split("|")]


def references_of(text: str) -> set[str]:
    """The works in a README's list of references, each by the name that its tables use."""
    _, _, listed = text.partition("## References\n")
    return set(re.findall(r"^\* ([^:]+ \d{4}): \S", listed, flags=re.MULTILINE))


@dataclass(frozen=True)
class Recipe:
    """What a README's section `## Add ...` says to write: files, and rows of its tables."""

    files: dict[str, str]  # path -> content
    rows: dict[str, str]  # what a table is about -> the line to append to it

    @classmethod
    def of(cls, text: str, heading: str) -> Recipe:
        section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
        blocks = re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL)
        before = re.split(r"```\w+\n.*?```", section, flags=re.DOTALL)
        files, rows = {}, {}
        for said, (language, content) in zip(before, blocks, strict=False):
            if language in ("python", "yaml"):
                (path,) = re.findall(r"`((?:moe_lab|conf)/[\w/]+\.(?:py|yaml))`", said)[-1:]
                files[path] = content
            elif language == "markdown":
                (about,) = re.findall(r"table of `([\w.]+?)=?`", said)[-1:]
                rows[about] = content
        return cls(files, rows)


def with_rows(text: str, rows: dict[str, str]) -> str:
    """A README with a line appended to each of the named tables."""
    for about, line in rows.items():
        pattern = rf"(^\| `{re.escape(about)}=?` \|.*\n(?:\|.*\n)+)"
        text, count = re.subn(pattern, lambda found: found[1] + line, text, flags=re.MULTILINE)  # noqa: B023
        assert count == 1, f"there are {count} tables of {about}"
    return text
