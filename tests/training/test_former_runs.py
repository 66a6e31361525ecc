"""Run directories from before the classes moved are still read: `former_runs` holds two."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from moe_lab.__main__ import main
from moe_lab.config.renamed import RENAMED, has_former_names, with_present_names

KEPT = Path(__file__).with_name("former_runs")


@pytest.fixture
def former_runs(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT, tmp_path / "runs"))


@pytest.mark.parametrize("model", ["sparse", "dense"])
def test_a_former_run_is_evaluated_to_what_its_summary_says(former_runs: Path, model: str) -> None:
    run = former_runs / model
    assert has_former_names((run / "config.yaml").read_text())
    assert main(["eval", str(run)]) == 0
    found = json.loads((run / "eval_test_best.json").read_text())
    recorded = json.loads((run / "summary.json").read_text())
    assert found["accuracy"] == recorded["test_accuracy"]
    assert found["loss"] == pytest.approx(recorded["test_loss"], rel=1e-5)


def test_former_runs_have_a_page_and_a_comparison(
    former_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(former_runs / "sparse")]) == 0
    assert (former_runs / "sparse" / "report.html").stat().st_size > 10_000
    assert main(["compare", str(former_runs)]) == 0
    said = capsys.readouterr().out
    assert "another version" not in said  # the commands make the recorded configurations
    assert "model=dense" in said


def test_every_former_name_leads_to_something_that_is_there() -> None:
    from hydra.utils import get_object

    for then, now in RENAMED.items():
        assert get_object(now.rstrip(".")) is not None
        node = {"a": [{"_target_": f"{then}X"}], "_target_": "torch.nn.ReLU"}
        assert with_present_names(node) == {
            "a": [{"_target_": f"{now}X"}],
            "_target_": "torch.nn.ReLU",
        }
