"""`python -m moe_lab study NAME`: train what a question needs, and answer it with intervals."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

# Overrides that change where or how a run is made, and not what it comes to.
PLACES = ("dataset.root=", "callbacks=", "trainer.accelerator=", "trainer=cpu", "trainer=gpu")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 all runs done, 1 some failed, 2 a wrong command line, 130 stopped."""
    from moe_lab.sweeps.studies import STUDIES

    parser = argparse.ArgumentParser(
        prog="python -m moe_lab study",
        description="Train the runs of a study and answer its question. What is done is not done "
        "again: the same line resumes a study that was stopped.",
        epilog="studies: " + "; ".join(f"{s.name}: {s.title}" for s in STUDIES.values()),
    )
    parser.add_argument("name", choices=sorted(STUDIES), help="which study")
    parser.add_argument("overrides", nargs="*", help="for all runs, such as dataset.root=FOLDER")
    parser.add_argument("--quick", action="store_true", help="little data and few seeds: minutes")
    parser.add_argument("--parts", type=names, help="only these parts of it: NAME,NAME")
    parser.add_argument("--seeds", type=int, help="how many seeds, instead of the study's own")
    parser.add_argument(
        "--separately", action="store_true", help="never train several seeds of a row at once"
    )
    parser.add_argument("--out", type=Path, help="where runs are kept (outputs/studies/NAME)")
    try:
        chosen = parser.parse_intermixed_args(
            list(sys.argv[1:] if arguments is None else arguments)
        )
    except SystemExit as stop:
        return int(stop.code or 0)
    if chosen.seeds is not None and chosen.seeds < 1:
        print(f"\nmoe_lab.study: error\n\n  --seeds must be at least 1, got {chosen.seeds}\n",
              file=sys.stderr)  # fmt: skip
        return 2
    return run(chosen)


def names(text: str) -> list[str]:
    return text.split(",")


def run(chosen: argparse.Namespace) -> int:
    from moe_lab.config.launch import print_error
    from moe_lab.errors import UserError
    from moe_lab.sweeps.studies import STUDIES
    from moe_lab.sweeps.studies.figure import forest
    from moe_lab.sweeps.studies.results import digest
    from moe_lab.sweeps.studies.running import run_all, tasks
    from moe_lab.sweeps.studies.tables import markdown
    from moe_lab.training.environment import describe_environment

    study = STUDIES[chosen.name]
    try:
        study = study.only(chosen.parts) if chosen.parts else study
    except ValueError as error:
        print(f"\nmoe_lab.study: error\n\n  {error}\n", file=sys.stderr)
        return 2
    out = chosen.out or Path("outputs/studies") / (study.name + ("_quick" if chosen.quick else ""))
    seeds = chosen.seeds or (study.quick_seeds if chosen.quick else study.seeds)
    todo = list(tasks(study, out, range(seeds), chosen.overrides, chosen.quick))
    try:
        done, failed = run_all(todo, together=not chosen.separately)
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from here ({out})", file=sys.stderr)
        return 130
    if not done:
        print(f"\nmoe_lab.study: none of the {len(todo)} runs ended well", file=sys.stderr)
        return 1
    try:
        typed = [word for word in chosen.overrides if not word.startswith(PLACES)]
        changes = [*(study.quick.split() if chosen.quick else ()), *typed]
        result = digest(study, done, describe_environment({}, []), changes)
    except UserError as error:
        print_error("moe_lab.commands.study", error)
        return 1
    (out / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    text = markdown(result)
    (out / "results.md").write_text(text + "\n")
    forest(result).savefig(out / "results.png", dpi=130)
    print(f"\n{text}\n\nwritten to {out}: results.md, results.json, results.png")
    for task in failed:
        print(f"failed: {' '.join(task.typed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
