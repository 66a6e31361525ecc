"""A study trains the seeds of a row together where it can, and resumes as it always does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moe_lab.commands.study import main
from moe_lab.sweeps.studies import conduct
from moe_lab.sweeps.studies.definition import Quick, Study, StudyPart, StudyRow
from moe_lab.sweeps.studies.execution import train_all
from moe_lab.sweeps.studies.work_list import work_list
from moe_lab.training.seeds import job as job_module
from moe_lab.training.seeds.member import Member
from moe_lab.training.seeds.speed import Speed

SMALL = (
    "dataset=synthetic dataset.source.num_train=200 dataset.source.num_test=100 "
    "trainer.max_epochs=1 trainer.accelerator=cpu"
)
ROWS = (
    StudyRow("dense", "model=dense expert.hidden=8"),
    StudyRow("noisy", "model=sparse router=noisy_top_k expert.hidden=8"),
)


def study_of(*rows: StudyRow) -> Study:
    return Study("", "", "", 2, Quick(1, ""), (StudyPart("p", "", SMALL, rows),), name="tiny")


STUDY = study_of(*ROWS)


@pytest.fixture(autouse=True)
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several seeds at once are faster, whatever else this machine is doing."""
    monkeypatch.setattr(job_module, "measure", lambda *_: Speed(together=0.001, alone=0.002))


def run(study: Study, kept: Path, seeds: int) -> list[str]:
    """Train what is missing of a study; what was said."""
    said: list[str] = []
    train_all(work_list(study, kept, range(seeds), []), said.append)
    return said


def summary(kept: Path, row: str, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (kept / "p" / row / f"seed{seed}" / "run" / "summary.json").read_text()
    )
    return found


@pytest.mark.slow
def test_rows_are_batched_where_they_can_be_and_others_say_why(tmp_path: Path) -> None:
    said = run(STUDY, tmp_path, 2)
    assert said[0] == "p: dense, 2 seeds together: 1.00 ms a step, 2.00 ms one after the other"
    assert said[1].startswith("[1/4] p: dense, seed 0: ")
    assert said[2] == (
        "p: noisy, one seed after the other: NoisyTopKRouter draws random numbers while it trains"
    )
    assert not any("done before" in line for line in said)
    for seed in (0, 1):
        found = summary(tmp_path, "dense", seed)
        assert (found["seed"], found["seeds_together"]) == (seed, 2)
        assert "seeds_together" not in summary(tmp_path, "noisy", seed)
    again = run(STUDY, tmp_path, 2)
    assert len(again) == 4
    assert all("done before" in line for line in again)


def test_a_single_seed_that_is_left_is_a_run_of_its_own(tmp_path: Path) -> None:
    study = study_of(ROWS[0])
    run(study, tmp_path, 1)
    (before, after) = run(study, tmp_path, 2)
    assert "done before" in before
    assert "seeds_together" not in summary(tmp_path, "dense", 1)
    assert "seed 1" in after


def test_together_is_said_on_the_command_line(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def stop(todo: object, together: bool) -> None:
        asked.append(together)
        raise KeyboardInterrupt

    monkeypatch.setattr(conduct, "train_all", stop)
    assert main(["tiny", f"out={tiny}", "together=false"]) == 130
    assert main(["tiny", f"out={tiny}"]) == 130
    assert asked == [False, True]


def test_together_false_trains_no_batch(tmp_path: Path) -> None:
    study = study_of(ROWS[0])
    todo = work_list(study, tmp_path, range(2), [])
    done, failed = train_all(todo, lambda line: None, together=False)
    assert (len(done), failed) == (2, [])
    assert "seeds_together" not in summary(tmp_path, "dense", 0)


def test_a_study_that_is_stopped_in_a_batch_goes_on_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(ROWS[0])
    finish = Member.finish

    def stop_at_the_second(self: Member, steps: int, epochs: int) -> dict[str, Any]:
        if self.seed == 1:
            raise KeyboardInterrupt
        return finish(self, steps, epochs)

    with monkeypatch.context() as patch:
        patch.setattr(Member, "finish", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(study, tmp_path, 3)
    assert summary(tmp_path, "dense", 0)["status"] == "done"
    assert not (tmp_path / "p/dense/seed1/run/summary.json").exists()
    said = run(study, tmp_path, 3)
    assert "done before" in said[0]
    assert said[1].startswith("p: dense, 2 seeds together: ")
    assert summary(tmp_path, "dense", 0)["seeds_together"] == 3
    assert summary(tmp_path, "dense", 2)["seeds_together"] == 2
