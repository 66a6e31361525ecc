"""The end of a run on the screen: what came out in sentences, the table, and what to do next."""

from __future__ import annotations

import logging
import shutil
import textwrap
from collections.abc import Iterator

from moe_lab.analysis.page.layers import layers_of
from moe_lab.analysis.page.run_files import Record, read_record
from moe_lab.analysis.page.verdict import health_of, sentences
from moe_lab.config.typed import from_here, shell_line
from moe_lab.training import console
from moe_lab.training.health.advice import remedy
from moe_lab.training.run_directory import RunDirectory

log = logging.getLogger("moe_lab")
WIDEST_LINE = 100  # columns: longer lines are hard to read
UNBROKEN = "\N{NO-BREAK SPACE}"


def print_ending(run: RunDirectory) -> None:
    """The verdict of the run's report, its table, its folder, and the commands to go on with."""
    print_verdict(run)
    console.print_result(run)
    record = read_record(run)
    page = run.path / "report.html"
    if page.is_file():
        print(f"report: {from_here(page)}")
    for purpose, command in next_commands(record).items():
        print(f"{purpose}:\n  {command}")
    print(end="", flush=True)


def print_verdict(run: RunDirectory) -> None:
    """The verdict alone, a sentence a paragraph; it goes to the log as well."""
    width = min(WIDEST_LINE, shutil.get_terminal_size().columns)
    print()
    for sentence in verdict_of(read_record(run)):
        log.info("%s", sentence)
        bound = sentence.replace(" %", f"{UNBROKEN}%").replace(" = ", f"{UNBROKEN}={UNBROKEN}")
        print(textwrap.fill(bound, width).replace(UNBROKEN, " "))
    print(flush=True)


def verdict_of(record: Record) -> list[str]:
    """How the run ended, whether its routers collapsed, whether experts specialised, and what
    follows.
    """
    said = sentences(record.summary, record.tables, record.num_test_images)
    return [*said, *what_follows(record)]


def what_follows(record: Record) -> Iterator[str]:
    """What to change where a router leaves experts out, in the words of the configuration."""
    kinds = [health_of(layer) for layer in layers_of(record.summary, record.tables)]
    if "dead" in kinds or "collapsed" in kinds:
        yield f"To bring experts back into use, {remedy(record.config, explore=True)}."


def next_commands(record: Record) -> dict[str, str]:
    """What can be done with a finished run: what it tells, and the command."""
    if record.summary.get("status") != "done":
        return {}
    place = from_here(record.path)
    has_router = bool(layers_of(record.summary, record.tables))
    purpose = "which expert does what, and whether predictions depend on the routing"
    return {
        purpose if has_router else "predictions, image by image": shell_line("analyze", [place]),
        "the same weights on other images": shell_line("eval", [place, "split=val"]),
    }
