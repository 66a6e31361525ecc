"""What a process that was started to run a command owes to its surroundings, from its first moment:
an answer to signals while it starts, and to a reader who has seen enough.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TextIO

ANSWERED = (signal.SIGINT, signal.SIGTERM)


def run_program(main: Callable[[], int]) -> int:
    """The exit code of a command that has this process to itself."""
    for number in ANSWERED:
        # A shell has what it starts in the background ignore Ctrl-C: that stays so.
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, leave)
    print_on()
    return main()


def leave(number: int, frame: FrameType | None) -> None:
    """End at once: an exception could be swallowed, or be shown, by a library being imported.

    Nothing is lost by it: as soon as there is something to record, others answer signals.
    """
    os.write(2, b"\nstopped\n")
    os._exit(128 + number)


def is_leaving() -> bool:
    """Whether a signal would end this process at once."""
    return signal.getsignal(signal.SIGTERM) is leave


def print_on() -> None:
    """Let printing go on where nobody reads it any more: a pager that was closed, `| head -1`."""
    sys.stdout, sys.stderr = lasting(sys.stdout), lasting(sys.stderr)


def lasting(stream: TextIO | None) -> TextIO:
    """A stream that writes on into nothing once its reader is gone, or where it was closed."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, LastingStream):
        return stream
    return LastingStream(
        stream.buffer, stream.encoding, stream.errors, line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )  # fmt: skip


class LastingStream(io.TextIOWrapper):
    """Text for a terminal, a file or a pipe whose other end may close."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            self._to_nowhere()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            self._to_nowhere()

    def _to_nowhere(self) -> None:
        # In place of the descriptor itself: what the buffers still hold goes there as well.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
