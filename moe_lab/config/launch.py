"""What every command does before its own work: options, help, the check of its words."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString

from moe_lab.config.check import check_line
from moe_lab.config.completion import shell_completion
from moe_lab.config.compose import Composition, composer
from moe_lab.config.help import help_text, key_text
from moe_lab.config.trust import trusting
from moe_lab.config.version import VERSION
from moe_lab.errors import ConfigError, UserError

LONGEST = 255  # bytes of a name, on every file system in use
TRACEBACK = "MOE_LAB_TRACEBACK"  # an environment variable


@dataclass(frozen=True)
class CommandUsage:
    """How a command is typed.

    Words without `=` stand for the keys in `positional`, the last of which takes all that are left
    where it ends in `...`. `texts` are keys whose values may hold blanks, commas and equals signs.
    """

    name: str  # of the command, and of its file conf/NAME.yaml
    summary: str | None  # the docstring of its module
    positional: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()  # what to type, and what it does


@dataclass(frozen=True)
class Command:
    """One thing that can be typed: it composes conf/NAME.yaml and calls `run` with the result.

    `check` refuses what can be refused before torch is loaded.
    """

    usage: CommandUsage
    run: Callable[[Composition], int | None]
    check: Callable[[Composition], None] | None = None

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """The exit code: 0 done, 1 it did not work out, 2 a wrong command line."""

        def work() -> int:
            line = read_line(self.usage, arguments)
            (job,) = check_line(self.usage.name, line.words)
            if self.check is not None:
                self.check(job)
            with trusting(job.config.get("trust")):
                return self.run(job) or 0

        return with_exit_code(self.usage.name, work)


@dataclass(frozen=True)
class CommandLine:
    """A command line whose options have been read."""

    words: list[str]
    multirun: bool


def read_line(command: CommandUsage, arguments: Sequence[str] | None) -> CommandLine:
    """The words of a command line; SystemExit once an option such as --help has been answered."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    parser = option_parser(command.name)
    options, words = parser.parse_known_args(typed)
    unknown = [word for word in words if word.startswith("-")]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.multirun and command.name != "train":
        parser.error("-m is for train")
    words = name_positional(command, words)
    answer_options(command, options, words)
    return CommandLine(words, options.multirun)


def option_parser(name: str) -> argparse.ArgumentParser:
    """The options that any command has."""
    parser = argparse.ArgumentParser(
        prog=f"moe-lab {name}", add_help=False, allow_abbrev=False, usage="%(prog)s [WORD ...]"
    )
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-h", "--help", nargs="?", const="")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
    parser.add_argument("-p", "--package")
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("-sc", "--shell-completion", action="store_true")
    return parser


def answer_options(
    command: CommandUsage, options: argparse.Namespace, words: Sequence[str]
) -> None:
    """Print what an option asks for, and leave."""
    if options.version:
        print(f"moe_lab {VERSION}")
    elif options.shell_completion:
        shell_completion(words)
    elif options.help is not None and "=" not in options.help and options.help:
        (job, *_) = check_line(command.name, words, options.multirun)
        print(key_text(job, options.help))
    elif options.help is not None:
        print(help_text(command.name, command.summary or "", command.examples))
    elif options.cfg:
        check_line(command.name, words, options.multirun)
        with composer(command.name):
            application = GlobalHydra.instance().hydra
            assert application is not None
            application.show_cfg(
                command.name, list(words), options.cfg, options.package, options.resolve
            )
    else:
        return
    raise SystemExit(0)


def name_positional(command: CommandUsage, words: Sequence[str]) -> list[str]:
    """`KEY=WORD` for words without a key, in the order of the command's positional keys."""
    named, left = [], list(command.positional)
    rest: list[str] = []
    for word in words:
        # A folder may be called a=b: it is one if it is there.
        is_bare = bool(command.positional) and ("=" not in word or os.path.exists(word))
        if not is_bare:
            named.append(quote_text(word, command.texts))
        elif left and left[0].endswith("..."):
            rest.append(quoted(word))
        elif left:
            named.append(f"{left.pop(0)}={quoted(word)}")
        else:
            named.append(word)  # the check says what is wrong with it
    if rest:
        named.append(f"{left[0].removesuffix('...')}=[{','.join(rest)}]")
    return named


def quote_text(word: str, texts: Sequence[str]) -> str:
    """A text as it was typed, so that Hydra does not read `model=dense` or a blank in it."""
    key, _, value = word.partition("=")
    is_bare = key in texts and value not in ("", "null") and value[0] not in "'\""
    return f"{key}={quoted(value)}" if is_bare else word


def quoted(text: str) -> str:
    """A text in quotes of Hydra's grammar."""
    return QuotedString(text, Quote.single).with_quotes()


def with_exit_code(name: str, work: Callable[[], int]) -> int:
    """The exit code of some work; an error that a user can mend becomes one screen."""
    try:
        return work()
    except SystemExit as stop:  # argparse has said what is wrong, or an option has been answered
        return stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr, flush=True)
        return 130
    except UserError as error:
        print_error(f"moe_lab {name}", error)
        return 2 if isinstance(error, ConfigError) else 1
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        print_error(f"moe_lab {name}", unforeseen(error))
        return 1


def unforeseen(error: Exception) -> UserError:
    """An error that is moe_lab's own, or of a file that nobody thought could look like that."""
    said = (str(error).strip().splitlines() or ["no message"])[0]
    return UserError(
        f"{type(error).__name__}: {said}",
        "an error that moe_lab foresees: this one it does not know",
        f"{TRACEBACK}=1 in front of the same command shows where it comes from",
    )


def print_error(program: str, error: UserError) -> None:
    """One screen on stderr, without a traceback; folded to the width of a terminal."""
    lines = error.lines()
    if sys.stderr.isatty():
        lines = [folded(line, shutil.get_terminal_size().columns) for line in lines]
    text = "\n".join(lines)
    print(f"\n{program}: error\n\n{text}\n", file=sys.stderr, flush=True)


def folded(line: str, width: int) -> str:
    """A line on as many as it needs, the others below the text behind its label."""
    margin = re.match(r"\s*(?:\w+:\s+)?", line)
    indent = " " * (margin.end() if margin else 0)
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def check_folder(path: Path, key: str) -> None:
    """ConfigError if a folder that a run is about to make cannot be made."""
    unfit = [part for part in path.parts if len(os.fsencode(part)) > LONGEST or "\0" in part]
    if unfit:
        raise ConfigError(
            f"{key}={path}: no folder can be called {unfit[0]!r}",
            f"names of at most {LONGEST} bytes",
            f"choose another {key}",
        )
    ancestor = next(p for p in (path, *path.absolute().parents) if p.exists())
    if ancestor.is_dir() and os.access(ancestor, os.W_OK | os.X_OK):
        return
    reason = "may not be written to" if ancestor.is_dir() else "is a file, not a folder"
    raise ConfigError(
        f"{key}={path}: {ancestor} {reason}",
        "a folder that exists or can be made, and written to",
        f"choose another {key}",
    )
