"""W&B runs, read back from the files that the offline mode writes."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb.proto.wandb_internal_pb2 import Record

from moe_lab.loggers.wandb import choose_mode

Train = Callable[..., tuple[int, Path]]


BLOCK = 32768  # .wandb files are LevelDB logs: records in fragments that do not cross blocks


def records(content: bytes) -> Iterator[Record]:
    """The records of a .wandb file: after 7 bytes of its own, (crc, length, kind) and the bytes."""
    position, parts = 7, b""
    while position + 7 <= len(content):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last fragment
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def read_back(folder: Path) -> dict[str, Any]:
    """What one offline run holds: id, group, exit code and the last value of each metric."""
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    found: dict[str, Any] = {"metrics": {}, "exit_code": None}
    for record in records(file.read_bytes()):
        if record.HasField("run"):
            found |= {"id": record.run.run_id, "group": record.run.run_group}
            found["name"] = record.run.display_name
        if record.HasField("exit"):
            found["exit_code"] = record.exit.exit_code
        if record.HasField("history"):
            for item in record.history.item:
                found["metrics"][item.key or ".".join(item.nested_key)] = item.value_json
    return found


def test_each_job_of_a_sweep_is_a_run_of_its_own_in_one_group(train: Train) -> None:
    code, sweep = train(
        "-m", "logger=wandb", "logger.wandb.mode=offline", "optimizer.lr=1e-3,1e20",
        "trainer.max_epochs=2",
    )  # fmt: skip
    fine, failed = read_back(sweep / "0"), read_back(sweep / "1")
    assert code == 1
    assert fine["id"] != failed["id"]
    assert fine["group"] == failed["group"] == sweep.name
    assert (fine["exit_code"], failed["exit_code"]) == (0, 1)
    assert fine["name"] == "synthetic_sparse_seed0"
    assert 0 <= float(fine["metrics"]["val_accuracy"]) <= 1
    assert 0 <= float(fine["metrics"]["test_accuracy"]) <= 1


def test_the_mode_follows_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert choose_mode("auto") == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert choose_mode("auto") == "online"
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password key\n")
    assert choose_mode("auto") == "online"
    assert choose_mode("offline") == "offline"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert choose_mode("auto") == "offline"


def test_wandb_is_not_imported_unless_chosen(tmp_path: Path) -> None:
    code = (
        "import sys; from moe_lab.train import main; "
        "main(['experiment=smoke', 'debug=fast', 'run_dir=run']); assert 'wandb' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, timeout=120
    )
