"""Lets a CUDA-built torchvision be imported beside a CPU-only torch.

The public torchvision wheel is built for CUDA. Beside a CPU build of torch its C++ library cannot
load, and its Python side then fails with "operator torchvision::nms does not exist" - and lightning
and torchmetrics with it, since they import it. Nothing here uses those operators, so it is enough
to declare their schemas just before torchvision is first imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []  # the library handle: its schemas vanish when it is collected


class _BeforeTorchvision(MetaPathFinder):
    """Runs once, at the first `import torchvision`, and then leaves the import to the ordinary
    finders.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            declare_missing_operators()
        return None


def install() -> None:
    """Watch for the first import of torchvision; costs nothing until then."""
    already = any(isinstance(finder, _BeforeTorchvision) for finder in sys.meta_path)
    if "torchvision" not in sys.modules and not already:
        sys.meta_path.insert(0, _BeforeTorchvision())


def declare_missing_operators() -> bool:
    """Declare torchvision's operator schemas if its own library cannot load; True when that was
    needed.
    """
    import torch

    if torch.version.cuda is not None or _declared or not torchvision_is_built_for_cuda():
        return False
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    _declared.append(library)
    return True


def torchvision_is_built_for_cuda() -> bool:
    """Read off the installed version file, because importing torchvision is what fails."""
    spec = PathFinder.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    version = Path(spec.origin).with_name("version.py")
    return version.is_file() and "+cu" in version.read_text()
