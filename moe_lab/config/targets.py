"""What a configuration may build. A `_target_` is code that runs, and a run directory may have come
from somebody else: so a class is built because it is meant to be, not because nobody forbade it.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from moe_lab.config.location import configuration_folder
from moe_lab.config.spelling import nearest
from moe_lab.config.trust import trusted_packages
from moe_lab.errors import ConfigError

NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")
TRUSTED_NAME = re.compile(r"\w+(\.\w+)+")
SHIPPED = re.compile(r"_target_:\s*(moe_lab(?:\.\w+)+)")
EXPECTED = (
    "parts of moe_lab, modules of torch.nn, optimizers and schedules of torch.optim, models of "
    "torchvision, callbacks, loggers and the trainer of lightning, each in its place"
)


@dataclass(frozen=True)
class Kind:
    """Targets of one kind: where they are defined, what they derive from, under which key of a
    configuration they may stand, if not anywhere.
    """

    packages: tuple[str, ...]
    bases: tuple[str, ...] = ()
    key: str = ""

    def covers(self, dotted: str, key: str) -> bool:
        """Whether a name is written as one of this kind, in its place; an empty key is anywhere."""
        in_place = not (self.key and key) or key == self.key
        return in_place and any(f"{dotted}.".startswith(f"{name}.") for name in self.packages)


PARTS = (
    "experts", "routers", "losses", "models", "metrics", "data", "networks", "config.several",
    "training.optimizers", "training.schedules",
)  # fmt: skip
KINDS = (
    Kind(tuple(f"moe_lab.{part}" for part in PARTS)),
    Kind(("moe_lab.training.callbacks", "moe_lab.analysis.panels.send_figures"), key="callbacks"),
    Kind(("moe_lab.training.loggers",), key="logger"),
    Kind(("torch.nn",), ("torch.nn.Module",)),
    Kind(("torch.optim",), ("torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler")),
    Kind(("torchvision.models",), ("torch.nn.Module",)),
    Kind(("lightning",), ("lightning.Callback",), key="callbacks"),
    Kind(("lightning",), ("lightning.pytorch.loggers.Logger",), key="logger"),
    Kind(("lightning",), ("lightning.Trainer",), key="trainer"),
    Kind(("optuna.samplers",), ("optuna.samplers.BaseSampler",), key="hydra"),
    Kind(("optuna.pruners",), ("optuna.pruners.BasePruner",), key="hydra"),
)


@dataclass(frozen=True)
class Refused:
    """A target that may not be built: where it stands, what is wrong, and what can be done."""

    place: str
    problem: str
    todo: str = ""


def refuse_targets(content: Any) -> None:
    """ConfigError about the targets in a whole configuration, as plain containers, that may not be
    built. Nothing has been built before it, and only packages that may be have been imported.
    """
    refuse(content, lambda place: place.partition(".")[0])


def refuse_targets_of_part(content: Any) -> None:
    """The same about a node of which is not known where in a configuration it stands."""
    refuse(content, lambda place: "")


def refuse(content: Any, key_of: Callable[[str], str]) -> None:
    """ConfigError about all targets that may not be built where they stand."""
    refused = [
        found
        for place, target in targets_in(content)
        if (found := judge(place, target, key_of(place))) is not None
    ]
    refused += [
        Refused(place, f"holds {value!r}, which would be looked up while it is built")
        for place, value in second_lookups(content)
    ]
    if refused:
        raise refusal(refused)


def refusal(refused: list[Refused]) -> ConfigError:
    """One screen about all of them."""
    todo = next((found.todo for found in refused if found.todo), "")
    lines = [f"{found.place} {found.problem}" for found in refused]
    return ConfigError("\n            ".join(lines) + "; nothing was built", EXPECTED, todo)


def targets_in(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every `_target_` with the dotted key at which it stands."""
    for name, value in children(node):
        key = f"{place}.{name}" if place else name
        if name == "_target_":
            yield key, value
        yield from targets_in(value, key)


def children(node: Any) -> list[tuple[str, Any]]:
    if isinstance(node, Mapping):
        return [(str(name), value) for name, value in node.items()]
    if isinstance(node, list | tuple):
        return [(str(number), value) for number, value in enumerate(node)]
    return []


def refuse_lookups(content: Any, path: Path) -> None:
    """ConfigError where a recorded configuration refers to something instead of saying it."""
    found = next(iter(second_lookups(content, inside=True)), None)
    if found is not None:
        raise ConfigError(
            f"{path}: {found[0]} holds {found[1]!r}, which looks something up",
            "a configuration as training records it, with every value written out",
        )


def second_lookups(node: Any, place: str = "", inside: bool = False) -> Iterator[tuple[str, str]]:
    """Texts in a resolved node that Hydra would resolve once more, after the targets were read."""
    inside = inside or (isinstance(node, Mapping) and "_target_" in node)
    for name, value in children(node):
        key = f"{place}.{name}" if place else name
        if inside and isinstance(value, str) and "${" in value:
            yield key, value
        yield from second_lookups(value, key, inside)


def judge(place: str, target: Any, key: str = "") -> Refused | None:
    """What is wrong with one target under a key of the configuration, or None."""
    refused = judge_name(place, target, key)
    if refused is not None:
        return refused
    found = resolve(str(target))
    if isinstance(found, Missing):
        return Refused(place, f"names {target}: {found.problem}")
    if is_trusted(str(target)) or any(
        is_of(kind, found, str(target)) for kind in KINDS if kind.covers(str(target), key)
    ):
        return None
    return Refused(place, f"names {target}, which is not meant to be built")


def judge_name(place: str, target: Any, key: str = "") -> Refused | None:
    """The same as far as the name alone tells, so without any import."""
    if not isinstance(target, str) or not TRUSTED_NAME.fullmatch(target):
        return Refused(place, f"is {target!r}, not the name of a class")
    if is_trusted(target):
        return None
    if NAME.fullmatch(target) and any(kind.covers(target, key) for kind in KINDS):
        return None
    root = target.partition(".")[0]
    own = root not in {name.partition(".")[0] for kind in KINDS for name in kind.packages}
    todo = f"if you know what it does and want it to run: trust=[{root}] on the command line"
    return Refused(
        place,
        f"names {target}, which a configuration may not build",
        todo if own and root not in sys.stdlib_module_names else "",
    )


def is_trusted(target: str) -> bool:
    return target.partition(".")[0] in trusted_packages()


@dataclass(frozen=True)
class Missing:
    """Why a name leads to nothing."""

    problem: str


def resolve(target: str) -> Any:
    """The object that a name leads to through modules of its own package, or why there is none.

    A name such as torch.nn.modules.module.os.system begins well and ends elsewhere.
    """
    root, *names = target.split(".")
    package = home_of(target)
    found: Any = None
    try:
        found = import_module(root)
        walked = root
        for name in names:
            # A module that another one has imported is called otherwise than its place here.
            if not isinstance(found, ModuleType) or found.__name__ != walked:
                return Missing(f"{walked} is no module of {package}")
            if not hasattr(found, name):
                import_module(f"{walked}.{name}")
            found, walked = getattr(found, name), f"{walked}.{name}"
    except (ImportError, AttributeError):
        known = [name for name in dir(found) if not name.startswith("_")]
        return Missing(f"there is no such class{nearest(target.rpartition('.')[2], known)}")
    return found


def home_of(target: str) -> str:
    """The package in which what a name leads to must be defined."""
    packages = {name for kind in KINDS for name in kind.packages if f"{target}.".startswith(name)}
    return max(packages, key=len, default=target.partition(".")[0])


def is_of(kind: Kind, found: Any, target: str) -> bool:
    """Whether an object is of a kind: a class by its bases, a function because it is listed."""
    module = str(getattr(found, "__module__", ""))
    if not any(f"{module}.".startswith(f"{package}.") for package in kind.packages):
        return False
    if isinstance(found, FunctionType):
        return target in shipped_targets() or is_torchvision_builder(found, module)
    if not isinstance(found, type):
        return False
    return not kind.bases or issubclass(found, tuple(map(resolve, kind.bases)))


@functools.cache
def shipped_targets() -> frozenset[str]:
    """Every name of moe_lab that the configuration files build."""
    files = configuration_folder().rglob("*.yaml")
    return frozenset(
        name for path in files for name in SHIPPED.findall(path.read_text(encoding="utf-8"))
    )


def is_torchvision_builder(function: FunctionType, module: str) -> bool:
    """Whether a function of torchvision.models is one that it lists as building a model."""
    if not module.startswith("torchvision.models."):
        return False
    models: Any = import_module("torchvision.models")
    return any(models.get_model_builder(name) is function for name in models.list_models())
