"""Downloads that probe their mirrors first and leave no partial file behind.

torchvision's downloads wait forever on a dead network, so a short probe always comes first.
"""

from __future__ import annotations

import queue
import shutil
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from http.client import HTTPException
from pathlib import Path

from moe_lab.errors import DataUnavailable

PROBE_SECONDS = 4.0
STALL_SECONDS = 30.0
HEAD_REFUSED = (405, 501)


@cache
def first_reachable(addresses: tuple[str, ...]) -> str | None:
    """The address that responds first, or None; probed once per process."""
    answers: queue.Queue[str | None] = queue.Queue()
    for address in addresses:
        # A daemon thread, because a name server that hangs must not keep the program from exiting.
        threading.Thread(target=probe_mirror, args=(address, answers), daemon=True).start()
    deadline = time.monotonic() + PROBE_SECONDS
    for _ in addresses:
        try:
            answer = answers.get(timeout=max(deadline - time.monotonic(), 0.001))
        except queue.Empty:
            return None
        if answer is not None:
            return answer
    return None


def probe_mirror(address: str, answers: queue.Queue[str | None]) -> None:
    request = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
            answers.put(address)
    except urllib.error.HTTPError as error:
        answers.put(address if error.code in HEAD_REFUSED else None)
    except (OSError, HTTPException, ValueError):
        answers.put(None)


@contextmanager
def downloading(
    name: str, root: Path, addresses: Iterable[str], todo: str
) -> Iterator[tuple[Path, str]]:
    """Yields a temporary folder inside `root` and the address that answered.

    The caller downloads into the folder and moves whole files out; what is left is deleted, so a
    broken download is never mistaken for data. Network failures become `DataUnavailable`.
    """
    address = first_reachable(tuple(addresses))
    if address is None:
        raise DataUnavailable(
            f"{name} is not in {root}, and none of its mirrors answers",
            "the files on disk, or a network",
            todo,
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".download-", dir=root))
    except OSError as error:
        raise DataUnavailable(
            f"{name} cannot be downloaded to {root}: {error}",
            "a folder that can be written",
            "set dataset.root (or the environment variable MOE_LAB_DATA) to another folder",
        ) from error
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        yield folder, address
    except (RuntimeError, OSError, EOFError, HTTPException) as error:
        reason = " ".join(str(error).split())
        raise DataUnavailable(
            f"{name}: the download failed: {reason}", "a working network", todo
        ) from error
    finally:
        socket.setdefaulttimeout(patience)
        shutil.rmtree(folder, ignore_errors=True)
