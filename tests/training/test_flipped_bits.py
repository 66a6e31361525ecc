"""No flipped bit changes a result without a word; scripts/flip_bits.py does the same at length."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_a_flipped_bit_is_said_or_changes_nothing(tmp_path: Path) -> None:
    source = importlib.util.spec_from_file_location("flip_bits", ROOT / "scripts" / "flip_bits.py")
    assert source is not None
    assert source.loader is not None
    script = importlib.util.module_from_spec(source)
    source.loader.exec_module(script)
    found = script.flips(30, random.Random(1), tmp_path)
    assert found["WRONG"] == found["Traceback"] == 0
    assert found["said"] > 8
    assert found["right"] + found["said"] == 30
