"""The text of --help, written from the configuration files, so that it cannot fall behind them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from moe_lab.config.compose import Composition
from moe_lab.config.location import configuration_folder
from moe_lab.config.spelling import nearest
from moe_lab.config.tree import spell
from moe_lab.errors import ConfigError

GROUPS = {
    "model": "images to predictions: one network, or a mixture of experts",
    "router": "how a mixture selects experts for each image",
    "gate": "the network inside a router that scores the experts",
    "temperature": "what a router divides its logits by",
    "expert": "what each expert is",
    "combine": "how the experts' outputs become one prediction",
    "loss": "what is minimised, load balancing included",
    "modulation": "what iterative modulation changes between passes",
    "feedback": "what iterative modulation reads about the pass before",
    "backbone": "the network before router and experts",
    "dataset": "which images",
    "trainer": "which device, how long, which precision",
    "optimizer": "how weights are updated",
    "scheduler": "how the learning rate changes",
    "callbacks": "checkpoints, progress, health of the routers, early stopping",
    "logger": "dashboards beside the run directory",
    "experiment": "complete settings with a known result",
    "debug": "small runs that find mistakes",
    "search": "what -m hydra/sweeper=optuna varies; without it the file of the model",
}


def help_text(name: str, summary: str, examples: Sequence[tuple[str, str]]) -> str:
    """What a command does, its groups or keys, and lines to copy."""
    path = configuration_folder() / f"{name}.yaml"
    parts = [summary.strip(), ""]
    if examples:
        width = max(len(line) for line, _ in examples)
        parts += [
            "Commands to copy:",
            "",
            *(f"  {line:<{width}}  # {why}" for line, why in examples),
        ]
        parts += [""]
    composes = composes_groups(path)
    if composes:
        parts += [
            "Groups (GROUP=OPTION), their options, and any key of an option as GROUP.KEY=VALUE:",
            "",
        ]
        for group in groups():
            parts += [
                f"  {group:<13}{GROUPS.get(group, '')}",
                f"{'':15}{', '.join(options(group))}",
            ]
        parts += [""]
    parts += ["Other keys:" if composes else "Keys:", "", *own_keys(path), ""]
    parts += [
        f"One key or group, its rule, meaning and source: moe-lab {name} --help KEY",
        f"The whole configuration: moe-lab {name} --cfg job",
        "Folder of the configuration files, each key with its meaning: conf/",
    ]
    return "\n".join(parts)


def groups() -> list[str]:
    """The groups of training: those with a meaning first, in the order of a forward pass."""
    folder = configuration_folder()
    found = {path.parent.name for path in folder.glob("*/*.yaml")} - {"hydra", "study"}
    return [*(g for g in GROUPS if g in found), *sorted(found - set(GROUPS))]


def key_text(job: Composition, key: str) -> str:
    """What a key is in a composition: value, where it was set, rule, meaning and source.

    Of a group or a part, its options and the keys inside. ConfigError where there is none.
    """
    if key in job.rules:
        return "\n".join(key_lines(job, key))
    inside = [name for name in job.rules if name.startswith(f"{key}.")]
    is_group = (configuration_folder() / key).is_dir()
    if not inside and not is_group:
        known = [*job.rules, *groups()]
        raise ConfigError(
            f"--help {key}: there is no such key{nearest(key, known)}",
            "a key or a group of this composition",
            f"moe-lab {job.command} --help lists what there is",
        )
    lines = [f"{key}  {GROUPS.get(key, '')}".rstrip()]
    if is_group:
        lines += [f"  chosen    {job.choices.get(key, 'none')}", "  options"]
        width = max(map(len, options(key)))
        lines += [f"    {o:<{width}}  {first_comment(key, o)}".rstrip() for o in options(key)]
    if inside:
        lines += ["  keys"]
        width = max(map(len, inside))
        lines += [f"    {n:<{width}}  {job.rules[n].meaning}" for n in inside]
    return "\n".join(lines)


def key_lines(job: Composition, key: str) -> list[str]:
    """The lines about one key."""
    rule = job.rules[key]
    value = OmegaConf.select(job.config, key)
    parser = OverridesParser.create()
    typed = [word for word in job.words if parser.parse_override(word).key_or_group == key]
    file, line, written = job.places[key]
    place = f"conf/{file.relative_to(configuration_folder())}, line {line}"
    follows = f", which follows {written}" if "${" in written else ""
    expected = rule.expected(lambda other: OmegaConf.select(job.config, other))
    lines = [
        f"{key} = {spell(value)}",
        f"  set by    {f'the command line: {typed[-1]}' if typed else place + follows}",
        f"  default   {written} ({place})" if typed else "",
        f"  rule      {expected}",
        f"  meaning   {rule.meaning}",
        f"  source    {source_of(job.config, key)}",
    ]
    return [text for text in lines if text]


def source_of(config: DictConfig, key: str) -> str:
    """The file whose class takes the key, and the paper that its docstring names."""
    node = key
    while node:
        node = node.rpartition(".")[0]
        part = OmegaConf.select(config, node) if node else config
        target = part.get("_target_") if isinstance(part, DictConfig) else None
        if target:
            file, docstring = docstring_of(str(target))
            return f"{target}{f' in {file}: {docstring}' if file else ''}"
    return "read by the command itself"


def docstring_of(target: str) -> tuple[str, str]:
    """The file of a class of moe_lab and the first line of its docstring, without importing it."""
    package, _, name = target.rpartition(".")
    root = Path(__file__).resolve().parents[2]
    path = root.joinpath(*package.split("."))
    module = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    if not package.startswith("moe_lab") or not module.is_file():
        return "", ""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for statement in tree.body:
        names = [a.name for a in statement.names] if isinstance(statement, ast.ImportFrom) else []
        if isinstance(statement, ast.ImportFrom) and name in names and statement.module:
            return docstring_of(f"{statement.module}.{name}")
    docstring = ast.get_docstring(tree) or ""
    return str(module.relative_to(root)), " ".join(docstring.split("\n\n")[0].split())


def first_comment(group: str, option: str) -> str:
    """What an option's file says of itself in its first line."""
    text = (configuration_folder() / group / f"{option}.yaml").read_text(encoding="utf-8")
    return text.partition("\n")[0].removeprefix("#").strip() if text.startswith("#") else ""


def composes_groups(path: Path) -> bool:
    """Whether a main file is put together from the groups of training."""
    defaults = yaml.safe_load(path.read_text(encoding="utf-8"))["defaults"]
    chosen = [set(entry) if isinstance(entry, dict) else {entry} for entry in defaults]
    return any(names & {"train", *groups()} for names in chosen)


def options(group: str) -> list[str]:
    """The names that can be typed after GROUP=."""
    return sorted(path.stem for path in (configuration_folder() / group).glob("*.yaml"))


def own_keys(path: Path) -> list[str]:
    """A line for each key of the main file: name, default, meaning."""
    from moe_lab.config.rules import rules_in_file

    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    rules = rules_in_file(path)
    return [
        f"  {key:<16}{rule.meaning} ({rule.text}; {values[key]})" for key, rule in rules.items()
    ]
