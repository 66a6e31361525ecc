"""Completion in bash of options, groups and keys: the answers are Hydra's own."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from hydra.plugins.completion_plugin import DefaultCompletionPlugin

from moe_lab.config.command_names import command_names
from moe_lab.config.compose import composer
from moe_lab.errors import ConfigError

# Hydra's script knows `python FILE.py` alone, and so neither `python -m` nor a command in front.
SCRIPT = """\
moe_lab_completion() {
    local words=($COMP_LINE) program
    if [[ ${words[0]} == *python* ]]; then
        [[ ${words[1]} == -m && ${words[2]} == moe_lab* ]] || return
        program="${words[0]} -m ${words[2]}"
    else
        program=${words[0]}
    fi
    local found=$(COMP_LINE="$COMP_LINE" $program -sc query=bash 2>/dev/null)
    COMPREPLY=($(compgen -o nospace -o default -W "$found" -- "${words[$COMP_CWORD]}"))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F moe_lab_completion moe-lab python python3"""
TYPED_PROGRAM = re.compile(
    r"^\s*\S*(?:python\S*\s+-m\s+moe_lab(?:\.(?P<door>\w+))?|moe-lab)(?:\s+|$)"
)


def shell_completion(words: Sequence[str]) -> None:
    """Print the script of `-sc install=bash`, or what `-sc query=bash` asks for."""
    if list(words) == ["install=bash"]:
        print(SCRIPT)
    elif list(words) == ["uninstall=bash"]:
        print("complete -r moe-lab python python3; unset -f moe_lab_completion")
    elif list(words) == ["query=bash"]:
        print(" ".join(matches(os.environ.get("COMP_LINE", ""))))
    else:
        raise ConfigError(
            f"-sc {' '.join(words)}: no such completion",
            "-sc install=bash, -sc uninstall=bash or -sc query=bash",
            'eval "$(moe-lab -sc install=bash)"',
        )


def matches(line: str) -> list[str]:
    """What may follow in a half-typed command line."""
    program = TYPED_PROGRAM.match(line)
    if program is None:
        return []
    command, rest = program["door"], line[program.end() :]
    if command is None:
        command, blank, rest = rest.partition(" ")
        if not blank:
            return [name for name in command_names() if name.startswith(command)]
    with composer(command) as composing:
        # The word after -m is completed like any other, but Hydra's parser wants the flag first.
        typed = re.sub(r"(?:^|\s)(?:-m|--multirun)(?=\s|$)", " ", rest).lstrip()
        return list(DefaultCompletionPlugin(composing.loader)._query(command, typed))
