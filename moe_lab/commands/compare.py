"""`python -m moe_lab compare RUNS...`: which configuration is better, and how sure is that?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, ListConfig

from moe_lab.config.launch import check_folder, launch

TEXTS = ("baseline", "out", "root")  # keys whose values may hold blanks and equals signs


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 the runs could not be read, 2 a wrong command line or runs that
    cannot be compared.
    """
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        from moe_lab.analysis.opened_run import answer

        codes.append(answer("moe_lab compare", compare, config))

    typed = sys.argv[1:] if arguments is None else arguments
    return max([launch("compare", task, as_overrides(typed), check_request), *codes])


def compare(request: DictConfig) -> None:
    """Answer on the screen and, where asked, in files."""
    from moe_lab.comparison.comparison import compare_runs
    from moe_lab.comparison.formats import write
    from moe_lab.comparison.predictions import AnswerMatcher
    from moe_lab.comparison.screen import show

    runs = list(request.runs) if isinstance(request.runs, ListConfig) else [request.runs]
    matcher = AnswerMatcher(request.root) if request.mcnemar else None
    patterns = [str(run) for run in runs]
    found = compare_runs(patterns, request.by, request.baseline, request.level, matcher)
    show(found, write(found, Path(str(request.out))) if request.out is not None else [])


def as_overrides(words: Sequence[str]) -> list[str]:
    """Words that are neither an option nor KEY=VALUE become the list `runs`."""
    paths = [word for word in words if is_path(word)]
    others = [quote_text(word) for word in words if not is_path(word)]
    return [*others, f"runs=[{','.join(map(quoted, paths))}]"] if paths else others


def is_path(word: str) -> bool:
    """A folder may be called a=b: it is one if it is there."""
    return not word.startswith("-") and ("=" not in word or Path(word).exists())


def quote_text(word: str) -> str:
    """A text as it was typed, so that Hydra does not read `model=dense` or a blank in it."""
    key, _, value = word.partition("=")
    is_bare = key in TEXTS and value not in ("", "null") and value[0] not in "'\""
    return f"{key}={quoted(value)}" if is_bare else word


def quoted(text: str) -> str:
    """A text in quotes of Hydra's grammar."""
    return QuotedString(text, Quote.single).with_quotes()


def check_request(config: DictConfig, multirun: bool) -> None:
    """Refuse a place that cannot be written to, before anything is read."""
    if config.out is not None:
        check_folder(Path(str(config.out)), "out")


if __name__ == "__main__":
    sys.exit(main())
