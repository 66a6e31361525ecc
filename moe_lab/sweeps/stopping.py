"""How a command that trains answers SIGTERM and Ctrl-C, once there is something to keep."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moe_lab.config.program import is_leaving
from moe_lab.training.status import Stopped

LOOK_EVERY = 1.0  # seconds


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn SIGTERM into an exit wherever no trainer is at work in this process.

    A process that still starts is left as it is: it ends at once, until it is `under_way`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    if not is_leaving():
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def under_way() -> None:
    """From here on, a signal is an exception: what was reached is recorded, locks are let go."""
    if is_leaving() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def stop(number: int, frame: Any) -> None:
    """The handler: Lightning's own, which calls this one, ends a training in order."""
    if not is_training(frame):
        raise Stopped(128 + number)


def is_training(frame: Any) -> bool:
    """Whether a Lightning trainer is at work in this stack, with handlers of its own."""
    while frame is not None:
        if frame.f_code.co_name == "_call_and_handle_interrupt":
            return True
        frame = frame.f_back
    return False


def end_with(parent: int) -> None:
    """Stop this process, a worker, as SIGTERM does once the process that started it is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="end with the parent", daemon=True).start()
