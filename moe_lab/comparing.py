"""Answers one request to compare runs: on the screen and, where asked, in files."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, ListConfig

from moe_lab.comparison.comparison import Comparison, compare_runs
from moe_lab.comparison.formats import write
from moe_lab.comparison.predictions import AnswerMatcher
from moe_lab.comparison.screen import show


def compare(request: DictConfig) -> Comparison:
    """The comparison that the keys of conf/compare.yaml ask for."""
    runs = list(request.runs) if isinstance(request.runs, ListConfig) else [request.runs]
    matcher = AnswerMatcher(request.root) if request.mcnemar else None
    patterns = [str(run) for run in runs]
    found = compare_runs(patterns, request.by, request.baseline, request.level, matcher)
    show(found, write(found, Path(str(request.out))) if request.out is not None else [])
    return found
