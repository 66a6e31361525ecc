from __future__ import annotations

import gzip
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from moe_lab.data import MNISTSource
from moe_lab.data import download as download_module
from moe_lab.data.download import first_reachable
from moe_lab.data.mnist import FILES
from moe_lab.errors import DataUnavailable


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def fresh_probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    first_reachable.cache_clear()
    yield
    first_reachable.cache_clear()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the loopback address that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent() -> Iterator[str]:
    """A loopback address that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


@pytest.fixture
def refused() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"


def offer(folder: Path, mirrors: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Small gzipped idx files in `folder`, and torchvision told to fetch them from `mirrors`."""
    from torchvision.datasets import MNIST

    resources = []
    for name in FILES:
        sizes = (12, 4, 4) if "images" in name else (12,)
        header = (0x0800 + len(sizes)).to_bytes(4, "big")
        header += b"".join(size.to_bytes(4, "big") for size in sizes)
        content = gzip.compress(header + (np.arange(np.prod(sizes)) % 10).astype("u1").tobytes())
        (folder / f"{name}.gz").write_bytes(content)
        resources.append((f"{name}.gz", hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(MNIST, "resources", resources)
    monkeypatch.setattr(MNIST, "mirrors", mirrors)


def test_the_mirror_that_responds_is_used_and_only_whole_files_stay(
    served, silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, address = served
    offer(folder, [silent, address], monkeypatch)
    root = tmp_path / "root"
    start = time.monotonic()
    sets = MNISTSource(root, verify=False).load()
    assert time.monotonic() - start < 5
    assert len(sets.train_images) == len(sets.test_images) == 12
    assert [path.name for path in root.iterdir()] == ["MNIST"]
    assert sorted(path.name for path in (root / "MNIST" / "raw").iterdir()) == sorted(FILES)


def test_a_broken_download_leaves_nothing_behind(
    served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, address = served
    offer(folder, [address], monkeypatch)
    last = folder / f"{FILES[3]}.gz"
    last.write_bytes(last.read_bytes()[:-4])
    with pytest.raises(DataUnavailable, match="the download failed") as caught:
        MNISTSource(tmp_path / "root", verify=False).load()
    assert "mnist_5k" in caught.value.todo
    assert list((tmp_path / "root").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(
    served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, address = served
    offer(folder, [address], monkeypatch)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataUnavailable, match=r"cannot be downloaded to .*file/root"):
        MNISTSource(tmp_path / "file" / "root", verify=False).load()


def test_without_a_network_the_user_is_told_within_seconds(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    offer(tmp_path, [refused], monkeypatch)
    start = time.monotonic()
    with pytest.raises(DataUnavailable, match="none of its mirrors answers") as caught:
        MNISTSource(tmp_path / "root").load()
    assert time.monotonic() - start < 5
    assert "MOE_LAB_DATA" in caught.value.todo
    assert not (tmp_path / "root").exists()


def test_a_silent_mirror_costs_no_more_than_the_probe(silent: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download_module, "PROBE_SECONDS", 0.3)
    start = time.monotonic()
    assert first_reachable((silent,)) is None
    assert time.monotonic() - start < 1.5
    start = time.monotonic()
    assert first_reachable((silent,)) is None
    assert time.monotonic() - start < 0.2  # less than a probe: the result is remembered


def test_a_mirror_without_the_file_does_not_count_as_reachable(served):
    folder, address = served
    (folder / "there").write_text("x")
    assert first_reachable((f"{address}absent",)) is None
    assert first_reachable((f"{address}absent", f"{address}there")) == f"{address}there"
