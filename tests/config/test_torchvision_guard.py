"""A CUDA-built torchvision beside a CPU-only torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from moe_lab.config import torchvision_guard

pytestmark = pytest.mark.slow

MISMATCH = torch.version.cuda is None and torchvision_guard.torchvision_is_built_for_cuda()


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(not MISMATCH, reason="torch and torchvision are of one kind here")
def test_torchvision_fails_without_the_guard_and_works_with_it() -> None:
    bare = python("import torchvision")
    assert bare.returncode != 0
    assert "torchvision::nms does not exist" in bare.stderr
    guarded = python("import moe_lab, lightning, torchmetrics, torchvision.datasets")
    assert guarded.returncode == 0, guarded.stderr


def test_the_guard_leaves_nothing_behind_once_torchvision_is_there() -> None:
    code = (
        "import sys, moe_lab; before = len(sys.meta_path); assert 'torch' not in sys.modules; "
        "import torchvision; assert len(sys.meta_path) == before - 1; "
        "from moe_lab.config.torchvision_guard import install; install(); "
        "assert len(sys.meta_path) == before - 1"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("version", "cuda"), [("0.28.0+cu130", True), ("0.28.0", False)])
def test_the_build_is_read_off_the_version_file(
    version: str, cuda: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "version.py").write_text(f"__version__ = '{version}'\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert torchvision_guard.torchvision_is_built_for_cuda() is cuda
