"""Sweeps: one table whatever the jobs did, nothing done twice, and how a sweep stands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from moe_lab.commands.sweep import main as sweep_main
from moe_lab.sweeps.jobs import Job, recorded_jobs, write_record
from moe_lab.train import main as train_main
from moe_lab.training.claim import claim
from moe_lab.training.status import read_state

Train = Callable[..., tuple[int, Path]]
Summaries = Callable[[Path], dict[str, dict[str, Any]]]
JobOf = Callable[..., Path]


def fail_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds 1 to 5 end a job in five ways."""
    from moe_lab.training.classifier import Classifier

    original = Classifier.training_step

    def training_step(self: Classifier, *arguments: Any) -> Any:
        seed = self.config["seed"]
        if seed == 1:
            raise ZeroDivisionError("for the test")
        if seed == 2:
            sys.exit(3)
        if seed == 3:
            raise MemoryError
        if seed == 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        found = original(self, *arguments)
        if seed == 5:
            assert self.train_sums is not None
            self.train_sums *= float("nan")
        return found

    monkeypatch.setattr(Classifier, "training_step", training_step)


@pytest.mark.slow
def test_a_sweep_with_jobs_that_fail_in_every_way_ends_with_one_table_and_code_1(
    train: Train, job_of: JobOf, summaries: Summaries, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        fail_by_seed(patch)
        code, sweep = train("-m", "seed=0,1,2,3,4,5,6")
    assert code == 1
    reasons = {
        1: "ZeroDivisionError: for the test",
        2: "the job called exit(3)",
        3: "out of memory: MemoryError",
        4: "out of memory: CUDA out of memory",
        5: "became NaN or infinite",
    }
    for seed, reason in reasons.items():
        state = read_state(job_of(sweep, f"seed={seed}"))
        assert state.status == "failed"
        assert reason in state.reason
        assert not state.reason.startswith("wrong:")
    for seed in (0, 6):
        assert read_state(job_of(sweep, f"seed={seed}")).status == "done"
    out = capsys.readouterr().out
    unwrapped = "".join(out.split())  # the path may be longer than a line
    titles = [unwrapped.count(f"sweep{path}") for path in (sweep, sweep.name)]
    assert sum(titles) == 1
    assert "2 done, 5 failed" in out
    assert (sweep / "comparison.md").is_file()
    # The same line again, without what was wrong: the five are tried again, the two are not.
    kept = {seed: job_of(sweep, f"seed={seed}") / "summary.json" for seed in (0, 6)}
    before = {seed: path.stat().st_mtime_ns for seed, path in kept.items()}
    code, _ = train("-m", "seed=0,1,2,3,4,5,6", f"run_dir={sweep}")
    assert code == 0
    assert {seed: path.stat().st_mtime_ns for seed, path in kept.items()} == before
    assert {summary["status"] for summary in summaries(sweep).values()} == {"done"}
    assert len(summaries(sweep)) == 7


def test_more_values_reuse_what_is_there(
    train: Train, job_of: JobOf, capsys: pytest.CaptureFixture[str]
) -> None:
    _, sweep = train("-m", "seed=0,1")
    before = (job_of(sweep, "seed=1") / "summary.json").stat().st_mtime_ns
    capsys.readouterr()
    code, _ = train("-m", "seed=1,2", "tags=[again]", f"run_dir={sweep}")
    assert code == 0
    out = capsys.readouterr().out
    assert out.count("done: before") == 1
    assert (sweep / job_folder(sweep, 1) / "summary.json").stat().st_mtime_ns == before
    assert [j["seed"] for j in read_jobs(sweep)] == [0, 1, 2]
    for name in ("comparison.md", "comparison.csv", "comparison.tex", "comparison.html"):
        assert (sweep / name).is_file()
    assert not (sweep / "summary.json").exists()
    assert not (sweep / "environment.json").exists()


def test_a_job_that_another_process_is_at_is_left_to_it(train: Train, job_of: JobOf) -> None:
    _, sweep = train("-m", "seed=0,1", "trainer.max_epochs=1")
    folder = job_of(sweep, "seed=1")
    (folder / "summary.json").unlink()
    with claim(folder) as is_mine:
        assert is_mine
        assert read_state(folder).status == "running"
        code, _ = train("-m", "seed=0,1", "trainer.max_epochs=1", f"run_dir={sweep}")
    assert code == 1  # not all of it is done
    assert not (folder / "summary.json").exists()
    assert read_state(folder).status == "interrupted"


@pytest.mark.slow
def test_without_run_dir_all_jobs_of_a_sweep_share_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["experiment=smoke", "debug=fast", "report=false"]
    assert train_main(["-m", *small, "model=sparse,standard"]) == 0
    (record,) = tmp_path.rglob("sweep.json")
    assert len(list(record.parent.glob("*/summary.json"))) == 2


@pytest.mark.slow
def test_status_and_report_read_a_sweep(
    train: Train, job_of: JobOf, capsys: pytest.CaptureFixture[str]
) -> None:
    _, sweep = train("-m", "seed=0,1,2,3")
    assert sweep_main(["status", str(sweep)]) == 0
    assert "4 done" in capsys.readouterr().out
    failed, killed, gone = (job_of(sweep, f"seed={seed}") for seed in (1, 2, 3))
    (failed / "summary.json").write_text('{"status": "failed", "error": "ValueError: bad"}')
    (failed / "checksums.json").unlink()
    (killed / "summary.json").unlink()
    for name in ("summary.json", "config.yaml"):
        (gone / name).unlink()
    assert sweep_main(["status", str(sweep)]) == 1
    out = capsys.readouterr().out
    assert "1 done, 1 interrupted, 1 failed, 1 missing" in out
    assert "ValueError: bad" in out
    assert sweep_main(["report", str(sweep)]) == 1
    assert "nothing to compare" in capsys.readouterr().err
    train("-m", "seed=0,1,2,3", f"run_dir={sweep}")
    (sweep / "comparison.md").unlink()
    assert sweep_main(["report", str(sweep)]) == 0
    assert "±" in (sweep / "comparison.md").read_text()


def test_a_flipped_bit_in_the_list_of_jobs_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(tmp_path, [Job(("seed=0",), 0, "abc")])
    assert [job.seed for job in recorded_jobs(tmp_path)] == [0]
    record = tmp_path / "sweep.json"
    record.write_text(record.read_text().replace('"seed": 0', '"seed": 1'))
    assert sweep_main(["status", str(tmp_path)]) == 1
    assert "sweep.json is damaged" in capsys.readouterr().err
    record.write_text(json.dumps({"jobs": []}))  # as an earlier version wrote it
    assert recorded_jobs(tmp_path) == []


def test_status_of_a_folder_without_a_sweep_is_a_wrong_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep_main(["status", str(tmp_path)]) == 2
    assert "holds no sweep" in capsys.readouterr().err
    assert sweep_main(["stauts", str(tmp_path)]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-m", "seed=0,1", "run_dir=a,b"), "run_dir differs"),
        (("-m", "hydra.sweep.subdir=x", "seed=0,1"), "run_dir"),
        (("-m", "hydra/launcher=ray", "seed=0,1"), "pip install hydra-ray-launcher"),
    ],
)
def test_lines_that_no_sweep_can_follow_are_refused(
    words: tuple[str, ...], said: str, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(*words)[0] == 2
    assert said in capsys.readouterr().err


def read_jobs(sweep: Path) -> list[dict[str, Any]]:
    return list(json.loads((sweep / "sweep.json").read_text())["jobs"])


def job_folder(sweep: Path, seed: int) -> str:
    return str(next(job["folder"] for job in read_jobs(sweep) if job["seed"] == seed))
