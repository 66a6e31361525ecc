"""`python -m moe_lab NAME WORDS...`, or `moe-lab NAME WORDS...`: everything that can be typed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from moe_lab import __version__
from moe_lab.config.command_names import command_names, summary_of
from moe_lab.config.program import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command; 2 where there is none of that name."""
    name, *words = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if name in ("-h", "--help"):
        print(overview())
        return 0
    if name == "--version":
        print(f"moe_lab {__version__}")
        return 0
    if name in ("-sc", "--shell-completion"):
        from moe_lab.config.completion import shell_completion

        shell_completion(words)
        return 0
    if name not in command_names():
        return refuse(name)
    code: int = import_module(f"moe_lab.commands.{name}").main(words)
    return code


def overview() -> str:
    """The commands, a line each."""
    names = command_names()
    width = max(map(len, names))
    return "\n".join(
        [
            "moe-lab NAME [WORD ...], or python -m moe_lab NAME [WORD ...]",
            "",
            *(f"  {name:<{width}}  {summary_of(name)}" for name in names),
            "",
            "What one of them takes: moe-lab NAME --help. The version: moe-lab --version",
        ]
    )


def refuse(name: str) -> int:
    """One screen about a command that there is not; the exit code."""
    from moe_lab.config.spelling import nearest

    known = command_names()
    print(
        f"\nmoe_lab: error\n\n  wrong:    there is no command {name}{nearest(name, known)}\n"
        f"  expected: {', '.join(known)}\n  do:       moe-lab --help says what each does\n",
        file=sys.stderr,
    )
    return 2


def program() -> int:
    """What `moe-lab` calls: the command has the process to itself."""
    return run_program(main)


if __name__ == "__main__":
    sys.exit(program())
