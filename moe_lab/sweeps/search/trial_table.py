"""How a search stands: its trials, the best of them, and the command that trains it."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from moe_lab.sweeps.job_table import STATUS_STYLES, count_by_status
from moe_lab.sweeps.search.storage import TrialRow, best_of, open_study, rows_of
from moe_lab.training.run_directory import RunDirectory

NOT_TYPED_AGAIN = ("run_dir=", "run_name=", "resume=", "plan=", "hydra")


def show_search(folder: Path) -> bool:
    """Print the table of a search; whether it has all its trials and none has failed."""
    study = open_study(folder)
    rows = rows_of(folder, study)
    print_rows(folder, rows)
    n_trials = int(study.user_attrs.get("n_trials", 0))
    states = {str(row.number): row.state for row in rows}
    counts = ", ".join(f"{n} {status}" for status, n in count_by_status(states).items())
    print(f"{len(rows)} of {n_trials} trials{': ' if counts else ''}{counts}")
    for line in search_verdict(folder, rows):
        print(line)
    print(end="", flush=True)
    ended = [row.state.status in ("done", "pruned") for row in rows]
    return all(ended) and len(rows) >= n_trials


def print_rows(folder: Path, rows: Sequence[TrialRow]) -> None:
    """A line a trial: its values, how it ended and why, validation accuracy, folder."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"search {escape(str(folder))}", title_justify="left")
    for heading in ("trial", "values", "status", "val accuracy", "folder"):
        right = heading in ("trial", "val accuracy")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    best = best_of(rows)
    shared = set.intersection(*(set(row.words) for row in rows)) if rows else set()
    names = short_names({word.partition("=")[0] for row in rows for word in row.words})
    for row in rows:
        state = row.state
        accuracy = "-" if state.accuracy is None else f"{100 * state.accuracy:.2f} %"
        shown = escape(f"{state.status}: {state.reason}" if state.reason else state.status)
        style = "bold green" if row == best else STATUS_STYLES.get(state.status, "")
        own = " ".join(shorten(word, names) for word in row.words if word not in shared)
        values = escape(own) if row.number else "the default configuration"
        status = f"[{style}]{shown}[/]" if style else shown
        table.add_row(str(row.number), values, status, accuracy, row.folder or "-")
    Console().print(table)


def short_names(keys: Collection[str]) -> dict[str, str]:
    """Each dotted key by as many of its last names as tell it from the others."""
    short = {}
    for key in keys:
        parts = key.split(".")
        endings = (".".join(parts[-n:]) for n in range(1, len(parts) + 1))
        short[key] = next(
            (e for e in endings if sum(k == e or k.endswith(f".{e}") for k in keys) == 1), key
        )
    return short


def shorten(word: str, names: Mapping[str, str]) -> str:
    """`key=value` with the short name of its key."""
    key, _, value = word.partition("=")
    return f"{names[key]}={value}"


def search_verdict(folder: Path, rows: Sequence[TrialRow]) -> list[str]:
    """What the search has found, measured against the default within the same search."""
    best = best_of(rows)
    if best is None:
        return ["no trial has been completed yet"]
    assert best.state.accuracy is not None
    found = f"best: trial {best.number}, {100 * best.state.accuracy:.2f} % on the validation images"
    default = next((row for row in rows if row.number == 0), None)
    if best.number == 0:
        return [f"{found}: no trial is better than the default configuration"]
    if default is None or default.state.status != "done" or default.state.accuracy is None:
        found += "; the default configuration has no result to compare it with"
    else:
        gain = 100 * (best.state.accuracy - default.state.accuracy)
        found += f", {gain:.2f} points above the default ({100 * default.state.accuracy:.2f} %)"
        found += (
            f" with {trial_flops(folder, best) / trial_flops(folder, default):.3g} times its FLOPs"
        )
    return [
        found,
        f"to train and test it: {command_of(best)}",
        "the best of many trials owes part of its lead to these validation images and this seed: "
        "add -m and several other seeds before you rely on it",
    ]


def trial_flops(folder: Path, row: TrialRow) -> int:
    """Arithmetic for one image, as the trial counted it."""
    return int(RunDirectory(folder / row.folder).read_summary()["flops_per_image"])


def command_of(row: TrialRow) -> str:
    """The line that trains a trial's configuration as an ordinary run."""
    words = [word for word in row.words if not word.startswith(NOT_TYPED_AGAIN)]
    return shlex.join(["python", "-m", "moe_lab.train", *words])
