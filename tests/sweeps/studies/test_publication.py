"""`publish=true`: what is published has a commit that makes it again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from moe_lab.commands.study import main
from moe_lab.training import environment


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> Path:
    """A git repository with one commit, which commands take for their own."""
    folder = tmp_path / "checkout"
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "train.yaml").write_text("one\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "one")
    monkeypatch.setattr(environment, "checkout", lambda: folder)
    return folder


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_a_clean_commit_is_published_with_all_that_makes_it_again(
    checkout: Path, tiny: Path
) -> None:
    typed = ["tiny", "seeds=1", f"out={tiny}", "dataset.root=/a/place", "publish=true"]
    assert main(typed) == 0
    folder = checkout / "outputs" / "published"
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.json", "tiny.md", "tiny.png"]
    commit = git(checkout, "rev-parse", "HEAD")
    result = json.loads((folder / "tiny.json").read_text())
    runs = [run for part in result["parts"] for row in part["rows"] for run in row["runs"]]
    assert [run["git"] for run in runs] == 2 * [{"commit": commit, "modified": False}]
    assert result["environment"]["hardware"]["torch_threads"] >= 1
    page = (folder / "tiny.md").read_text()
    assert "![Two small models](tiny.png)" in page
    assert f"- Commit: {commit[:12]}." in page
    assert "python -m moe_lab study tiny seeds=1 dataset.root=FOLDER\n" in page
    assert "/a/place" not in page + (folder / "tiny.json").read_text()
    # What was published is no change that keeps the next study from being published.
    assert main(typed) == 0


@pytest.mark.parametrize("name", ["train.yaml", "new.yaml"])
def test_changes_are_refused_before_anything_is_trained(
    checkout: Path, tiny: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "conf" / name).write_text("two\n")
    assert main(["tiny", f"out={tiny}", "publish=true"]) == 2
    assert f"files differ from the commit: conf/{name}" in capsys.readouterr().err
    assert not tiny.exists()


def test_a_folder_that_is_no_checkout_is_refused(
    checkout: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "checkout", lambda: checkout / "conf")
    assert main(["tiny", f"out={tiny}", "publish=true"]) == 2
    assert "is no git checkout" in capsys.readouterr().err
    assert not tiny.exists()


@pytest.mark.slow
def test_runs_from_uncommitted_code_are_not_published(
    checkout: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "conf" / "train.yaml").write_text("two\n")
    assert main(["tiny", "seeds=1", f"out={tiny}"]) == 0
    git(checkout, "checkout", "-q", "--", ".")
    assert main(["tiny", "seeds=1", f"out={tiny}", "publish=true"]) == 2
    assert "runs were made with uncommitted changes" in capsys.readouterr().err
    assert not (checkout / "outputs").exists()
