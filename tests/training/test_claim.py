"""Who is at work in a folder, on file systems with and without locks."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from moe_lab.errors import UserError
from moe_lab.training import claim as claiming
from moe_lab.training.claim import claim, is_locked, lock_of, read_holder, record_of


def no_flock(file: object, operation: int) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def ended_process() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left_behind(folder: Path, host: str, pid: int, silence: float) -> Path:
    """A record of a holder that has given no sign of life for some seconds."""
    record = record_of(lock_of(folder))
    record.parent.mkdir(exist_ok=True)
    record.write_text(json.dumps({"host": host, "pid": pid, "since": "now", "token": "t"}))
    seen = time.time() - silence
    os.utime(record, (seen, seen))
    return record


@pytest.fixture(params=["flock", "no flock"])
def locking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no flock":
        monkeypatch.setattr(fcntl, "flock", no_flock)


@pytest.mark.usefixtures("locking")
def test_a_folder_is_held_by_one_at_a_time_and_left_without_a_trace(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with claim(folder) as first:
        assert first
        assert is_locked(folder)
        holder = read_holder(record_of(lock_of(folder)))
        assert holder is not None
        assert (holder.host, holder.pid) == (platform.node(), os.getpid())
        with claim(folder) as second:
            assert not second
        with claim(tmp_path / "other") as other:
            assert other
    assert not is_locked(folder)
    assert list((tmp_path / ".locks").iterdir()) == []
    with claim(folder) as again:
        assert again


@pytest.mark.usefixtures("locking")
@pytest.mark.parametrize(
    ("host", "pid", "silence", "taken"),
    [
        (platform.node(), ended_process, 0.0, True),  # killed on this machine
        ("elsewhere", lambda: 1, 0.0, False),  # at work on another one
        ("elsewhere", lambda: 1, 1000.0, True),  # silent on another one
    ],
)
def test_a_holder_that_has_ended_is_taken_over_aloud(
    host: str, pid: Callable[[], int], silence: float, taken: bool, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = tmp_path / "run"
    number = pid()
    record = left_behind(folder, host, number, silence)
    with claim(folder) as is_mine:
        assert is_mine is taken
    said = capsys.readouterr().out
    assert (f"taking over from process {number} on {host}" in said) is taken
    assert record.exists() is not taken


def test_without_locks_a_process_of_this_machine_that_lives_keeps_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", no_flock)
    left_behind(tmp_path / "run", platform.node(), os.getpid(), 0.0)
    with claim(tmp_path / "run") as is_mine:
        assert not is_mine


def test_a_sign_of_life_is_given_while_a_folder_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "BEAT", 0.01)
    with claim(tmp_path / "run"):
        record = record_of(lock_of(tmp_path / "run"))
        os.utime(record, (1, 1))
        deadline = time.monotonic() + 5
        while record.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert record.stat().st_mtime > 2


def test_a_process_whose_place_was_taken_ends_at_once(tmp_path: Path) -> None:
    code = (
        "import json, sys, time\nfrom pathlib import Path\n"
        "from moe_lab.training import claim as c\n"
        "c.BEAT = 0.01\nfolder = Path(sys.argv[1])\nwith c.claim(folder):\n"
        "    record = c.record_of(c.lock_of(folder))\n"
        "    content = json.loads(record.read_text()) | {'token': 'other', 'pid': 7}\n"
        "    record.write_text(json.dumps(content))\n    time.sleep(30)\n"
    )
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "taken over by process 7" in ended.stderr
    assert time.monotonic() - started < 20


def test_a_folder_that_cannot_be_locked_is_said(tmp_path: Path) -> None:
    (tmp_path / ".locks").touch()  # a file where the folder of locks should be
    with pytest.raises(UserError, match="cannot write"), claim(tmp_path / "run"):
        pass
