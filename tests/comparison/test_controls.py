"""Controls are not contenders."""

from __future__ import annotations

from pathlib import Path

import pytest

from moe_lab.commands import compare
from tests.conftest import Train


@pytest.mark.slow
def test_an_oracle_is_compared_only_where_controls_are_asked_for(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dataset=patch_clusters", "model=sparse", "callbacks=minimal", "expert.hidden=4"]
    for router in ("oracle", "hash"):
        code, _ = train(*words, f"router={router}", f"run_dir={tmp_path / router}")
        assert code == 0
    runs = [str(tmp_path / "oracle"), str(tmp_path / "hash")]
    assert compare.main(runs) == 2
    assert "router=oracle is told the true domain" in capsys.readouterr().err
    assert compare.main([*runs, "controls=true", f"out={tmp_path / 'out'}"]) == 0
    assert (tmp_path / "out" / "comparison.md").is_file()
    assert compare.main(runs[1:]) == 0
