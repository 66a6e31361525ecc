"""Reads a study from its file in conf/study/ and refuses one that does not hang together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from moe_lab.config.location import configuration_folder
from moe_lab.config.spelling import nearest
from moe_lab.errors import ConfigError
from moe_lab.metrics.registry import find
from moe_lab.sweeps.studies.definition import Study, StudyPart

BUDGET_NAMES = ("active_flops", "active_parameters", "total_parameters")
SPLITS = ("by_seed", "fixed")
PART_NAME = re.compile(r"[a-z][a-z0-9_]*")


class StudyFileError(ConfigError):
    """All that is wrong with the file of a study, each with its line."""

    def __init__(self, path: Path, mistakes: Sequence[tuple[int, str]]) -> None:
        self.path, self.mistakes = path, sorted(set(mistakes))
        super().__init__(f"{path}: {len(self.mistakes)} mistakes")

    def lines(self) -> list[str]:
        count = len(self.mistakes)
        return [
            f"  {count} mistake{'s' if count > 1 else ''} in {self.path}; nothing was run",
            "",
            *(f"  line {line}: {problem}" for line, problem in self.mistakes),
            "",
            "  the keys of such a file, and what they mean: conf/study.yaml",
        ]


def study_folder() -> Path:
    """The folder that holds a file for each study."""
    return configuration_folder() / "study"


def study_names() -> list[str]:
    """The studies that can be typed, in alphabetical order."""
    return sorted(path.stem for path in study_folder().glob("*.yaml"))


def read_study(path: Path) -> Study:
    """A study as its file describes it; StudyFileError lists all that is wrong with the file."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise StudyFileError(path, [(line, f"this is no YAML: {error.problem}")]) from None
    reader = _Reader()
    study = reader.read(Study, node, "") if node else reader.add(1, "the file is empty")
    mistakes = reader.mistakes or list(contradictions(study))
    if mistakes:
        raise StudyFileError(path, mistakes)
    return replace(study, name=path.stem)


class _Reader:
    """Makes the dataclasses of a study out of YAML nodes, which know their lines."""

    def __init__(self) -> None:
        self.mistakes: list[tuple[int, str]] = []

    def add(self, line: int, problem: str) -> Any:
        self.mistakes.append((line, problem))

    def read(self, kind: Any, node: yaml.Node, key: str) -> Any:
        """A value of this kind; nothing where there was a mistake."""
        if is_dataclass(kind):
            return self.mapping(kind, node, key)
        if get_origin(kind) is tuple:
            return self.sequence(get_args(kind)[0], node, key)
        return self.scalar(kind, node, key)

    def mapping(self, kind: Any, node: yaml.Node, key: str) -> Any:
        known = {f.name: f for f in fields(kind) if "derived" not in f.metadata}
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            return self.add(line, f"{key} must be a mapping of {', '.join(known)}")
        kinds, before = get_type_hints(kind), len(self.mistakes)
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            name, place = str(key_node.value), key_node.start_mark.line + 1
            path = f"{key}.{name}" if key else name
            if name not in known:
                self.add(place, f"there is no key '{path}'{nearest(name, known)}")
            elif name in found:
                self.add(place, f"'{path}' is there twice")
            else:
                found[name] = self.read(kinds[name], value_node, path)
        for name in known:
            if name not in found and is_required(known[name]):
                self.add(line, f"'{f'{key}.{name}' if key else name}' is missing")
        if len(self.mistakes) > before:
            return None
        located = {"line": line} if any(f.name == "line" for f in fields(kind)) else {}
        return kind(**found, **located)

    def sequence(self, kind: Any, node: yaml.Node, key: str) -> Any:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            return self.add(node.start_mark.line + 1, f"'{key}' must be a list, and not empty")
        return tuple(self.read(kind, item, f"{key}[{n}]") for n, item in enumerate(node.value))

    def scalar(self, kind: Any, node: yaml.Node, key: str) -> Any:
        tag, text = node.tag.rpartition(":")[2], node.value
        if kind is str and isinstance(node, yaml.ScalarNode) and tag != "null" and text.strip():
            return str(text).strip()
        if kind is int and tag == "int" and int(text) >= 1:
            return int(text)
        if kind not in (str, int) and tag in ("int", "float"):
            return float(text)
        expected = {str: "a text", int: "a whole number of at least 1"}.get(kind, "a number")
        return self.add(node.start_mark.line + 1, f"'{key}' must be {expected}")


def is_required(known: Field[Any]) -> bool:
    return known.default is MISSING and known.default_factory is MISSING


def contradictions(study: Study) -> Iterator[tuple[int, str]]:
    """What single keys cannot show: names that clash, and names of nothing."""
    if study.split not in SPLITS:
        yield 1, f"'split' must be one of {', '.join(SPLITS)}; got '{study.split}'"
    names: set[str] = set()
    for part in study.parts:
        if not PART_NAME.fullmatch(part.name):
            yield part.line, f"the part's name '{part.name}' must be a_word of small letters"
        if part.name in names:
            yield part.line, f"two parts are called '{part.name}'"
        names.add(part.name)
        yield from contradictions_of_rows(part)
        yield from contradictions_of_contrasts(part)
        related = [key for relation in part.relations for key in (relation.first, relation.second)]
        for key in (*part.columns, *related):
            if find(key) is None:
                yield part.line, f"'{key}' is no number that a run records: see moe_lab/metrics"


def contradictions_of_rows(part: StudyPart) -> Iterator[tuple[int, str]]:
    mixtures = [row.label for row in part.rows if not row.matches]
    folders: set[str] = set()
    for row in part.rows:
        if slug(row.label) in folders:
            yield row.line, f"another row of part '{part.name}' is called '{row.label}' or much so"
        folders.add(slug(row.label))
        if row.matches and row.matches not in mixtures:
            hint = nearest(row.matches, mixtures)
            yield row.line, f"'{row.label}' matches '{row.matches}', which is no other row{hint}"
        if row.matches and row.overrides:
            yield row.line, f"'{row.label}': its overrides follow from the row that it matches"
        if bool(row.matches) != bool(row.budget):
            yield row.line, f"'{row.label}': matches and budget need each other"
        elif row.matches and row.budget not in BUDGET_NAMES:
            yield row.line, f"'budget' must be one of {', '.join(BUDGET_NAMES)}; got '{row.budget}'"
    if any(row.published is not None for row in part.rows) != bool(part.published_from):
        yield part.line, "published values of rows and 'published_from' need each other"


def contradictions_of_contrasts(part: StudyPart) -> Iterator[tuple[int, str]]:
    labels = [row.label for row in part.rows]
    for contrast in part.contrasts:
        for label in (contrast.first, contrast.second):
            if label not in labels:
                hint = nearest(label, labels)
                yield contrast.line, f"'{contrast.question}': there is no row '{label}'{hint}"
        if contrast.first == contrast.second:
            yield contrast.line, f"'{contrast.question}' compares a row with itself"


def slug(label: str) -> str:
    """A label as the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
