"""What the tests of studies share: folders of studies of their own, and a small study."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from moe_lab.config import location

TINY = """\
# Is a mixture better than a network of eight hidden units?
title: Two small models  # text; heading
question: Is a mixture better than a network of eight hidden units?  # text; what the runs answer
measured: Synthetic images, one epoch.  # text; what every run does
seeds: 2  # int >= 1; runs of each row
quick:
  seeds: 1  # int >= 1; runs of each row
  overrides: dataset.source.num_train=200  # text; less work
parts:  # list; rows on the same work
  - name: only
    title: The only part (of this study)
    overrides: >-
      dataset=synthetic dataset.source.num_train=300 dataset.source.num_test=100
      trainer.max_epochs=1 trainer.accelerator=cpu
    published_from: a note of ours
    rows:
      - {label: dense, overrides: model=dense expert.hidden=8, published: 50.0}
      - {label: a mixture, overrides: model=standard expert.hidden=8}
    contrasts:
      - {question: "Is it?", first: a mixture, second: dense}
"""


@pytest.fixture
def add_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put the file of a study into a copy of conf/, which commands then read."""
    conf = tmp_path / "lab" / "conf"
    shutil.copytree(location.configuration_folder(), conf)
    monkeypatch.setattr(location, "_PACKAGE", tmp_path / "lab" / "moe_lab")
    monkeypatch.chdir(tmp_path)

    def add(name: str, text: str) -> Path:
        path = conf / "study" / f"{name}.yaml"
        path.write_text(text)
        return path

    return add


@pytest.fixture
def tiny(add_study: Callable[[str, str], Path], tmp_path: Path) -> Path:
    """A study of four small runs called `tiny`; where it is kept if `out=kept` is typed."""
    add_study("tiny", TINY)
    return tmp_path / "kept"
